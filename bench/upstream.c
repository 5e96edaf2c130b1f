/* A model provider that streams chat completions at a set pace, to any number of connections.
 *
 *     upstream PORT PACE_MS
 *
 * An answer has as many tokens as the request asks for with "tokens=N" in a message, or no end.
 * Token N is the text "@N:T ", T being CLOCK_MONOTONIC in nanoseconds when it was written, so that
 * whoever reads it on the same machine knows how long it took. A connection that takes no more
 * bytes misses tokens until it does. GET /stats tells what was sent since the last GET /stats, how
 * late, how many answers the client cut off, and when it did so last. One thread, one epoll; a token
 * costs one send().
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FD = 65536, IN_BYTES = 65536, OUT_BYTES = 2048, EVENTS = 512 };

typedef struct Connection Connection;
struct Connection {
    int fd, streaming, ended;
    long sent, wanted;
    long long due_ns;      /* when the next token is to be written */
    Connection *next;      /* in the line of those that stream, the earliest due first */
    int in_bytes, out_bytes;
    char in[IN_BYTES], out[OUT_BYTES]; /* out: what the socket did not take */
};

static const char HEAD[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
/* A chunk as OpenAI writes it, fields that nobody reads included. */
#define CHUNK(choice)                                                                           \
    "data: {\"id\":\"chatcmpl-123\",\"object\":\"chat.completion.chunk\",\"created\":1694268190," \
    "\"model\":\"gpt-4o\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_44709d6fcb\","  \
    "\"choices\":[{\"index\":0,\"delta\":" choice "}],\"usage\":null}\n\n"
static const char TOKEN[] =
    CHUNK("{\"content\":\"@%ld:%lld \"},\"logprobs\":null,\"finish_reason\":null");
static const char FIRST[] = CHUNK("{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},"
                                  "\"logprobs\":null,\"finish_reason\":null");
static const char LAST[] = CHUNK("{},\"logprobs\":null,\"finish_reason\":\"stop\"");
static const char END[] = "data: [DONE]\n\n";

static Connection *connections[MAX_FD], *line_head, *line_tail;
static int loop;
static long long pace_ns;
static struct {
    long sent, blocked, cut;
    long long cut_ns;
    double late_sum_ms, late_max_ms;
} stats;

static long long now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void line_up(Connection *c) {
    c->next = NULL;
    if (line_tail) line_tail->next = c;
    else line_head = c;
    line_tail = c;
}

/* A closed connection that still stands in the line is freed when its turn comes. */
static void close_connection(Connection *c) {
    if (c->streaming && !c->ended) {
        stats.cut++;
        stats.cut_ns = now_ns();
    }
    close(c->fd);
    connections[c->fd] = NULL;
    c->fd = -1;
    if (!c->streaming) free(c);
}

static int flush_out(Connection *c) {
    while (c->out_bytes) {
        ssize_t n = send(c->fd, c->out, c->out_bytes, MSG_NOSIGNAL);
        if (n < 0) return 0; /* full, or gone: then epoll says so */
        c->out_bytes -= n;
        memmove(c->out, c->out + n, c->out_bytes);
    }
    return 1;
}

static void add_raw(Connection *c, const char *bytes, int count) {
    if (c->out_bytes + count > OUT_BYTES) abort();
    memcpy(c->out + c->out_bytes, bytes, count);
    c->out_bytes += count;
}

static void add_chunk(Connection *c, const char *bytes, int count) {
    char size[16];
    add_raw(c, size, snprintf(size, sizeof size, "%x\r\n", count));
    add_raw(c, bytes, count);
    add_raw(c, "\r\n", 2);
}

static void write_token(Connection *c, long long now) {
    char text[1024];
    double late_ms = (now - c->due_ns) / 1e6;
    stats.late_sum_ms += late_ms;
    if (late_ms > stats.late_max_ms) stats.late_max_ms = late_ms;
    add_chunk(c, text, snprintf(text, sizeof text, TOKEN, c->sent, now_ns()));
    flush_out(c);
    c->sent++;
    stats.sent++;
}

static void write_end(Connection *c) {
    if (!c->ended) {
        add_chunk(c, LAST, sizeof LAST - 1);
        add_chunk(c, END, sizeof END - 1);
        add_raw(c, "0\r\n\r\n", 5);
        c->ended = 1;
    }
    if (flush_out(c)) c->streaming = 0;
}

/* All have the same pace, so whoever is served goes to the end of the line. */
static void serve_due(void) {
    long long now = now_ns();
    while (line_head && line_head->due_ns <= now) {
        Connection *c = line_head;
        line_head = c->next;
        if (!line_head) line_tail = NULL;
        if (c->fd < 0) {
            free(c);
            continue;
        }
        if (!flush_out(c)) stats.blocked++;
        else if (c->sent < c->wanted) write_token(c, now);
        else write_end(c);
        c->due_ns += pace_ns;
        if (c->streaming) line_up(c);
    }
}

static void answer_stats(Connection *c) {
    char body[512], head[128];
    int n = snprintf(body, sizeof body,
                     "{\"sent\":%ld,\"blocked\":%ld,\"cut\":%ld,\"cut_ns\":%lld,"
                     "\"late_mean_ms\":%.3f,\"late_max_ms\":%.3f}",
                     stats.sent, stats.blocked, stats.cut, stats.cut_ns, stats.sent ? stats.late_sum_ms / stats.sent : 0.0,
                     stats.late_max_ms);
    memset(&stats, 0, sizeof stats);
    add_raw(c, head, snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", n));
    add_raw(c, body, n);
    flush_out(c);
}

static void answer(Connection *c) {
    char *wanted = strstr(c->in, "tokens=");
    if (!strncmp(c->in, "GET /stats", 10)) {
        answer_stats(c);
        return;
    }
    add_raw(c, HEAD, sizeof HEAD - 1);
    add_chunk(c, FIRST, sizeof FIRST - 1);
    flush_out(c);
    c->sent = c->ended = 0;
    c->wanted = wanted ? atol(wanted + 7) : LONG_MAX;
    c->streaming = 1;
    c->due_ns = now_ns() + pace_ns;
    line_up(c);
}

static void take_requests(Connection *c) {
    while (!c->streaming && c->in_bytes) {
        c->in[c->in_bytes] = 0;
        char *body = strstr(c->in, "\r\n\r\n");
        if (!body) return;
        char *length = strcasestr(c->in, "\r\ncontent-length:");
        int whole = body + 4 - c->in + (length && length < body ? atoi(length + 17) : 0);
        if (c->in_bytes < whole) return;
        answer(c);
        c->in_bytes -= whole;
        memmove(c->in, c->in + whole, c->in_bytes);
    }
}

static void read_connection(Connection *c) {
    ssize_t n = read(c->fd, c->in + c->in_bytes, IN_BYTES - 1 - c->in_bytes);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
        close_connection(c);
        return;
    }
    c->in_bytes += n;
    take_requests(c);
}

static void accept_all(int listener) {
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        Connection *c = fd < MAX_FD ? calloc(1, sizeof *c) : NULL;
        if (!c) {
            close(fd);
            continue;
        }
        c->fd = fd;
        connections[fd] = c;
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event);
    }
}

static int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (void *)&at, sizeof at) || listen(fd, 4096)) {
        perror("upstream");
        exit(1);
    }
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event);
    return fd;
}

int main(int count, char **words) {
    if (count != 3) {
        fprintf(stderr, "usage: upstream PORT PACE_MS\n");
        return 2;
    }
    pace_ns = atof(words[2]) * 1e6;
    loop = epoll_create1(0);
    int listener = listen_on(atoi(words[1]));
    struct epoll_event events[EVENTS];
    for (;;) {
        int ready = epoll_wait(loop, events, EVENTS, line_head ? 1 : -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) accept_all(listener);
            else if (connections[fd]) read_connection(connections[fd]);
        }
        serve_due();
    }
}
