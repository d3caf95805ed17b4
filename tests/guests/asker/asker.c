/* A program of a Linux guest that makes many kinds of system calls, to be told of by strace and by rrdbg alike.
 *
 * What they give does not matter, and some fail: each has arguments of its kind, numbers, flags, paths and data. */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static char data[256] = "plain \1\2" "3\n\t\v\f\r\"\\ \377\0" "7 the rest is longer than what strace shows";

static void files(void)
{
    mkdir("/tmp/asker", 0700);
    int fd = open("/tmp/asker/file", O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0640);
    write(fd, data, 5);
    write(fd, data, 80);
    write(fd, data + 14, 16);
    pwrite(fd, "second", 6, 0x1000);
    lseek(fd, 0, SEEK_SET);
    lseek(fd, -4, SEEK_END);
    lseek(fd, 1, SEEK_CUR);
    pread(fd, data, 4, 2);
    lseek(fd, 0, SEEK_SET);
    read(fd, data, 200);
    struct iovec parts[2] = {{data, 4}, {data + 8, 4}};
    writev(fd, parts, 2);
    readv(fd, parts, 2);
    fsync(fd);
    fdatasync(fd);
    ftruncate(fd, 100);
    truncate("/tmp/asker/file", 50);
    fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 4096);
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    flock(fd, LOCK_EX | LOCK_NB);
    flock(fd, LOCK_UN);
    fchmod(fd, 0600);
    fchown(fd, 0, -1);
    int other = dup(fd);
    dup2(fd, 20);
    dup3(fd, 21, O_CLOEXEC);
    fcntl(fd, F_GETFD);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK);
    fcntl(fd, F_DUPFD, 30);
    fcntl(fd, F_DUPFD_CLOEXEC, 40);
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    fcntl(fd, F_SETLK, &lock);
    close(other);
    close(-1);
    struct stat facts;
    struct statfs system;
    syscall(SYS_stat, "/tmp/asker", &facts);
    syscall(SYS_lstat, "/tmp/asker/none", &facts);
    syscall(SYS_fstat, fd, &facts);
    fstatat(AT_FDCWD, "/tmp/asker/file", &facts, AT_SYMLINK_NOFOLLOW);
    fstatat(fd, "", &facts, AT_EMPTY_PATH);
    struct statx more;
    statx(AT_FDCWD, "/tmp", AT_STATX_SYNC_AS_STAT | AT_NO_AUTOMOUNT, STATX_BASIC_STATS | STATX_BTIME, &more);
    statfs("/proc", &system);
    fstatfs(fd, &system);
    access("/tmp", R_OK | X_OK);
    faccessat(AT_FDCWD, "/none", F_OK, 0);
    syscall(SYS_faccessat2, AT_FDCWD, "/tmp", W_OK, AT_EACCESS);
    link("/tmp/asker/file", "/tmp/asker/second");
    symlink("file", "/tmp/asker/link");
    readlink("/tmp/asker/link", data, sizeof data);
    readlinkat(AT_FDCWD, "/proc/self/exe", data, sizeof data);
    rename("/tmp/asker/second", "/tmp/asker/third");
    renameat2(AT_FDCWD, "/tmp/asker/third", AT_FDCWD, "/tmp/asker/link", RENAME_EXCHANGE);
    linkat(AT_FDCWD, "/tmp/asker/file", AT_FDCWD, "/tmp/asker/fourth", AT_SYMLINK_FOLLOW);
    symlinkat("file", AT_FDCWD, "/tmp/asker/fifth");
    mkdirat(AT_FDCWD, "/tmp/asker/sub", 0755);
    mknod("/tmp/asker/fifo", S_IFIFO | 0600, 0);
    chmod("/tmp/asker/file", 04711);
    fchmodat(AT_FDCWD, "/tmp/asker/file", 0, 0);
    chown("/tmp/asker/file", 1, 2);
    lchown("/tmp/asker/link", -1, 3);
    fchownat(AT_FDCWD, "/tmp/asker/file", 4, 5, AT_SYMLINK_NOFOLLOW);
    utimensat(AT_FDCWD, "/tmp/asker/file", NULL, 0);
    unlink("/tmp/asker/file");
    unlinkat(AT_FDCWD, "/tmp/asker/sub", AT_REMOVEDIR);
    int folder = openat(AT_FDCWD, "/tmp/asker", O_RDONLY | O_NONBLOCK | O_DIRECTORY | O_CLOEXEC);
    syscall(SYS_getdents64, folder, data, sizeof data);
    fchdir(folder);
    chdir("/tmp");
    syscall(SYS_getcwd, data, sizeof data);
    rmdir("/tmp/none");
    umask(022);
    sync();
    syncfs(folder);
    openat(folder, "made", O_WRONLY | O_CREAT | O_EXCL, 0600);
    open("/tmp/asker", O_RDWR | O_TMPFILE, 0600);
    open("/tmp/asker", O_PATH);
    creat("/tmp/asker/created", 0);
    getxattr("/tmp", "user.none", data, sizeof data);
    copy_file_range(fd, NULL, fd, NULL, 0, 0);
    syscall(SYS_sendfile, 1, fd, NULL, 0);
    close_range(40, 50, 0);
}

static void memory(void)
{
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    page = mremap(page, 8192, 16384, MREMAP_MAYMOVE);
    madvise(page, 8192, MADV_DONTNEED);
    mprotect(page, 4096, PROT_NONE);
    mprotect(page, 4096, PROT_READ | PROT_EXEC);
    msync(page, 4096, MS_SYNC | MS_INVALIDATE);
    mlock(page, 4096);
    munlock(page, 4096);
    mlockall(MCL_CURRENT);
    munlockall();
    unsigned char present[4];
    mincore(page, 4096, present);
    munmap(page, 16384);
    mmap((void *)0x10000000, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    syscall(SYS_brk, 0);
    int shared = memfd_create("remembered", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    fcntl(shared, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
    fcntl(shared, F_GET_SEALS);
    unsigned int word = 7;
    struct timespec moment = {0, 1000};
    syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1);
    syscall(SYS_futex, &word, FUTEX_WAKE, 0x7fffffff);
    syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 8, NULL);
    syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 8, &moment, NULL, FUTEX_BITSET_MATCH_ANY);
}

static void nothing(int number) { (void)number; }

static void processes(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    sigprocmask(SIG_SETMASK, NULL, &set);
    sigset_t before;
    sigprocmask(SIG_UNBLOCK, &set, &before);
    signal(SIGUSR2, nothing);
    signal(SIGRTMIN + 2, SIG_IGN);
    kill(getpid(), 0);
    kill(getpid(), SIGUSR2);
    syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGCHLD);
    syscall(SYS_tkill, syscall(SYS_gettid), SIGURG);
    syscall(SYS_rt_sigpending, &set, 8);
    struct timespec none = {0, 0};
    syscall(SYS_rt_sigtimedwait, &set, NULL, &none, 8);
    stack_t stack;
    sigaltstack(NULL, &stack);
    getppid();
    getuid();
    geteuid();
    getgid();
    getegid();
    setuid(0);
    setgid(0);
    setresuid(-1, 0, -1);
    uid_t ids[3];
    getresuid(&ids[0], &ids[1], &ids[2]);
    getgroups(0, NULL);
    setgroups(0, NULL);
    syscall(SYS_getpgrp);
    getpgid(0);
    setpgid(0, 0);
    getsid(0);
    setsid();
    prctl(PR_SET_NAME, "asker two");
    prctl(PR_GET_NAME, data);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    prctl(PR_SET_DUMPABLE, 1);
    prctl(PR_GET_DUMPABLE);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_CAPBSET_READ, 21);
    syscall(SYS_arch_prctl, ARCH_GET_FS, data);
    struct rlimit limit;
    syscall(SYS_getrlimit, RLIMIT_NOFILE, &limit);
    syscall(SYS_prlimit64, 0, RLIMIT_STACK, NULL, data);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    getrusage(RUSAGE_CHILDREN, &usage);
    syscall(SYS_getpriority, PRIO_PROCESS, 0);
    setpriority(PRIO_PROCESS, 0, 1);
    sched_yield();
    cpu_set_t processors;
    sched_getaffinity(0, sizeof processors, &processors);
    sched_getscheduler(0);
    struct sched_param how;
    sched_getparam(0, &how);
    sched_get_priority_max(SCHED_FIFO);
    struct utsname names;
    uname(&names);
    struct sysinfo facts;
    sysinfo(&facts);
    struct tms spent;
    times(&spent);
    sethostname("asker", 5);
    syscall(SYS_capget, data, NULL);
    syscall(SYS_personality, 0xffffffff);
    syscall(SYS_getrandom, data, 8, GRND_NONBLOCK);
    unsigned int processor;
    syscall(SYS_getcpu, &processor, NULL, NULL);
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(3);
    wait4(child, &status, 0, NULL);
    waitpid(-1, &status, WNOHANG | WUNTRACED);
    siginfo_t about;
    waitid(P_PID, child, &about, WEXITED | WNOHANG);
    child = vfork();
    if (child == 0)
        _exit(0);
    waitpid(child, &status, __WALL);
    mount("none", "/tmp/asker", "tmpfs", MS_NOSUID | MS_NODEV, "size=1m");
    umount2("/tmp/asker", MNT_DETACH);
    unshare(CLONE_NEWNS);
    chroot("/");
    syscall(SYS_pidfd_open, getpid(), 0);
}

static void waiting(void)
{
    int ends[2], both[2];
    syscall(SYS_pipe, ends);
    pipe2(ends, O_CLOEXEC | O_NONBLOCK);
    struct pollfd polled = {ends[0], POLLIN, 0};
    syscall(SYS_poll, &polled, 1, 0);
    struct timespec none = {0, 0};
    ppoll(&polled, 1, &none, NULL);
    fd_set set;
    FD_ZERO(&set);
    struct timeval never = {0, 0};
    syscall(SYS_select, 1, &set, NULL, NULL, &never);
    syscall(SYS_pselect6, 1, &set, NULL, NULL, &none, NULL);
    int many = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {EPOLLIN, {0}};
    write(ends[1], "x", 1);
    epoll_ctl(many, EPOLL_CTL_ADD, ends[0], &event);
    epoll_ctl(many, EPOLL_CTL_MOD, ends[0], &event);
    syscall(SYS_epoll_wait, many, &event, 1, 0);
    epoll_pwait(many, &event, 1, 0, NULL);
    epoll_ctl(many, EPOLL_CTL_DEL, ends[0], NULL);
    eventfd(3, EFD_CLOEXEC | EFD_SEMAPHORE);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct itimerspec when = {{0, 0}, {0, 0}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
    timerfd_gettime(timer, &when);
    int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    inotify_add_watch(watch, "/tmp", IN_CREATE | IN_DELETE);
    inotify_rm_watch(watch, 1);
    sigset_t signals;
    sigemptyset(&signals);
    syscall(SYS_signalfd4, -1, &signals, 8, O_CLOEXEC);
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
    syscall(SYS_clock_gettime, CLOCK_BOOTTIME, &now);
    syscall(SYS_clock_getres, CLOCK_MONOTONIC_COARSE, &now);
    struct timeval today;
    syscall(SYS_gettimeofday, &today, NULL);
    syscall(SYS_time, NULL);
    struct timespec moment = {0, 1000};
    syscall(SYS_nanosleep, &moment, NULL);
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, NULL);
    alarm(0);
    struct itimerval often = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &often, NULL);
    getitimer(ITIMER_VIRTUAL, &often);

    int talk = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un name = {AF_UNIX, "/tmp/talk"};
    unlink("/tmp/talk");
    bind(talk, (struct sockaddr *)&name, sizeof name);
    listen(talk, 5);
    int on = 1;
    socklen_t length = sizeof on;
    setsockopt(talk, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    getsockopt(talk, SOL_SOCKET, SO_TYPE, &on, &length);
    int caller = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    connect(caller, (struct sockaddr *)&name, sizeof name);
    int taken = accept4(talk, NULL, NULL, SOCK_CLOEXEC);
    sendto(caller, "hello", 5, MSG_NOSIGNAL, NULL, 0);
    recvfrom(taken, data, 100, MSG_DONTWAIT, NULL, NULL);
    struct iovec part = {"more", 4};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    sendmsg(caller, &message, MSG_DONTWAIT);
    part.iov_base = data;
    recvmsg(taken, &message, MSG_PEEK);
    getsockname(talk, (struct sockaddr *)&name, &length);
    getpeername(caller, (struct sockaddr *)&name, &length);
    shutdown(caller, SHUT_WR);
    shutdown(caller, SHUT_RDWR);
    socketpair(AF_UNIX, SOCK_DGRAM, 0, both);
    socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP);
    socket(AF_INET6, SOCK_STREAM, IPPROTO_TCP);
    socket(AF_NETLINK, SOCK_RAW, 0);
    struct termios line;
    ioctl(1, TCGETS, &line);
    struct winsize size;
    ioctl(1, TIOCGWINSZ, &size);
    ioctl(taken, FIONREAD, &on);
    ioctl(taken, FIONBIO, &on);
}

int main(void)
{
    files();
    memory();
    processes();
    waiting();
    return 0;
}
