/* The serial ports of the boards that the image is built for, by -DBOARD_...; the rest of a Cortex-M is the same. */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *) (address))

static inline void uart_start(void)
{
#if defined(BOARD_mps2_an385)
    REGISTER(0x40004010) = 16; /* CMSDK UART: the divisor, then: transmit */
    REGISTER(0x40004008) = 1;
#elif defined(BOARD_microbit)
    REGISTER(0x40002500) = 4; /* nRF51 UART: on, then the task that starts to transmit */
    REGISTER(0x40002008) = 1;
#elif defined(BOARD_stm32vldiscovery)
    REGISTER(0x4001380c) = 0x2008; /* STM32 USART1: on, transmit */
#endif
}

static inline void uart_put(char letter)
{
#if defined(BOARD_mps2_an385)
    while (REGISTER(0x40004004) & 1)
        ;
    REGISTER(0x40004000) = letter;
#elif defined(BOARD_microbit)
    REGISTER(0x4000211c) = 0;
    REGISTER(0x4000251c) = letter;
    while (!REGISTER(0x4000211c))
        ;
#elif defined(BOARD_stm32vldiscovery)
    REGISTER(0x40013804) = letter;
    while (!(REGISTER(0x40013800) & 0x40))
        ;
#elif defined(BOARD_lm3s6965evb)
    REGISTER(0x4000c000) = letter; /* PL011 */
#endif
}

#endif
