/* Take a held socket from socketd, or give it one: the whole of docs/fd-passing.md in C.
 *
 *   cc -Wall -Wextra -Werror -o passing passing.c
 *   ./passing take /run/socketd/api.sock web program args...    runs the program with the socket as fd 3
 *   ./passing give /run/socketd/api.sock NAME < socket          gives standard input, which is a socket
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MOST 253 /* SCM_MAX_FD: as many descriptors as a message can have */

union control { /* aligned as the kernel wants it */
    char room[CMSG_SPACE(MOST * sizeof(int))];
    struct cmsghdr align;
};

static int dial(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int api = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (strlen(path) >= sizeof to.sun_path)
        errx(1, "%s: too long for a socket's path", path);
    strcpy(to.sun_path, path);
    if (api < 0 || connect(api, (struct sockaddr *)&to, sizeof to) < 0)
        err(1, "%s", path);
    return api;
}

static void say(int api, const void *data, size_t size)
{
    if (send(api, data, size, MSG_NOSIGNAL) != (ssize_t)size)
        err(1, "send");
}

/* Reads what is there; a descriptor that comes with it goes to *fd. A plain read() would lose it. */
static size_t hear(int api, char *data, size_t size, int *fd)
{
    union control control;
    struct iovec bytes = {data, size};
    struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1,
                             .msg_control = &control, .msg_controllen = sizeof control};
    struct cmsghdr *part;
    ssize_t got = recvmsg(api, &message, MSG_CMSG_CLOEXEC);

    if (got <= 0)
        errx(1, "socketd hung up");
    if (message.msg_flags & MSG_CTRUNC)
        errx(1, "a descriptor did not fit into this process");
    for (part = CMSG_FIRSTHDR(&message); part != NULL; part = CMSG_NXTHDR(&message, part))
        if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS)
            memcpy(fd, CMSG_DATA(part), sizeof *fd); /* one was asked for */
    return (size_t)got;
}

/* Reads up to a blank line or, after that, up to the end of the answer; returns where the body begins. */
static char *answer(int api, char *text, size_t size, int *fd)
{
    size_t got = 0;
    char *head, *body, *length;

    for (head = text;;) {
        if (got + 1 >= size)
            errx(1, "the answer is too long");
        got += hear(api, text + got, size - 1 - got, fd);
        text[got] = '\0';
        while (strncmp(head, "HTTP/1.1 100", 12) == 0 && (body = strstr(head, "\r\n\r\n")) != NULL)
            head = body + 4; /* interim: the descriptor came with it, the answer follows */
        if ((body = strstr(head, "\r\n\r\n")) == NULL)
            continue;
        length = strcasestr(head, "\r\ncontent-length:");
        if (length == NULL || got - (size_t)(body + 4 - text) >= strtoul(length + 17, NULL, 10))
            break;
    }
    if (strncmp(head, "HTTP/1.1 200", 12) != 0 && strncmp(head, "HTTP/1.1 101", 12) != 0)
        errx(1, "%s", body + 4);
    return body + 4;
}

static void take(const char *path, const char *name, char **program)
{
    char text[65536];
    int api = dial(path), fd = -1;

    snprintf(text, sizeof text, "POST /v1/sockets/%s/take HTTP/1.1\r\nHost: localhost\r\n"
             "Accept-Descriptors: yes\r\n\r\n", name);
    say(api, text, strlen(text));
    answer(api, text, sizeof text, &fd);
    if (fd < 0)
        errx(1, "no descriptor came");
    if (dup2(fd, 3) < 0 || fcntl(3, F_SETFD, 0) < 0) /* not close-on-exec: it is for the program */
        err(1, "dup2");
    execvp(program[0], program);
    err(1, "%s", program[0]);
}

static void give(const char *path, const char *name, int fd)
{
    char text[65536], count = 1;
    int api = dial(path), none = -1;
    uint32_t length;
    size_t got, all;
    union control control;
    struct iovec bytes = {&count, 1};
    struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1,
                             .msg_control = &control, .msg_controllen = CMSG_SPACE(sizeof fd)};
    struct cmsghdr *part = CMSG_FIRSTHDR(&message);

    snprintf(text, sizeof text, "POST /v1/sockets/give HTTP/1.1\r\nHost: localhost\r\n"
             "Connection: Upgrade\r\nUpgrade: socketd-give\r\n\r\n");
    say(api, text, strlen(text));
    answer(api, text, sizeof text, &none); /* 101: from here on it is no HTTP */

    snprintf(text, sizeof text, "{\"sockets\":[{\"name\":\"%s\"}]}", name);
    length = htonl((uint32_t)strlen(text));
    say(api, &length, sizeof length);
    say(api, text, strlen(text));

    *part = (struct cmsghdr){CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(part), &fd, sizeof fd);
    if (sendmsg(api, &message, MSG_NOSIGNAL) != 1 && errno != EPIPE) /* refused already: it is read below */
        err(1, "sendmsg");

    /* One byte acknowledges the batch (0: refused), then come four with the answer's length, and it. */
    for (got = 0, all = 5; got < all; ) {
        got += hear(api, text + got, all - got, &none);
        if (got == 5 && all == 5) {
            memcpy(&length, text + 1, sizeof length);
            if ((all += ntohl(length)) >= sizeof text)
                errx(1, "the answer is too long");
        }
    }
    text[all] = '\0';
    puts(text + 5);
    if (text[0] != 1)
        exit(1);
}

int main(int argc, char **argv)
{
    if (argc > 4 && strcmp(argv[1], "take") == 0)
        take(argv[2], argv[3], argv + 4);
    if (argc != 4 || strcmp(argv[1], "give") != 0)
        errx(2, "usage: passing take API NAME PROGRAM [ARGUMENT...] | passing give API NAME < SOCKET");
    give(argv[2], argv[3], STDIN_FILENO);
    return 0;
}
