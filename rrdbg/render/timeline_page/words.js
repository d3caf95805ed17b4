// Numbers, positions and times as they are written, and searching in what is sorted.

export const grouped = new Intl.NumberFormat("en-US");

export const positionText = (icount, phase) => grouped.format(Math.round(icount)) + (phase ? ":" + phase : "");

export function shortNumber(number) {
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]]) {
    if (number >= size) return (number / size).toPrecision(3).replace(/\.?0+$/, "") + " " + unit;
  }
  return number >= 10 || number === 0 ? String(Math.round(number)) : number.toPrecision(2);
}

// A step of 1, 2 or 5 times a power of ten so that about `wanted` fit into `span`.
export function niceStep(span, wanted, least) {
  const raw = Math.max(span / wanted, least);
  const power = 10 ** Math.floor(Math.log10(raw));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= raw * 0.999);
}

export function* ticks(from, to, step) {
  for (let tick = Math.ceil(from / step); tick * step <= to; tick++) yield tick * step;
}

// The index of the first of `sorted` for which `reached` holds; it must hold for all that follow.
export function first(sorted, reached) {
  let low = 0, high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (reached(sorted[middle])) high = middle; else low = middle + 1;
  }
  return low;
}

// An element; its text is text, whatever it says.
export function made(tag, className = "", text = undefined) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

// A large decimal number also in hexadecimal, which is how addresses and marks in memory are known.
export function withHex(text) { return /^\d{4,20}$/.test(text) ? `${text} (0x${BigInt(text).toString(16)})` : text; }
