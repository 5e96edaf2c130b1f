/* Opens streams, reads them, and tells how many tokens came and how long each was under way.
 *
 *     load PORT PATH STREAMS RAMP_SECONDS WARM_SECONDS WINDOW_SECONDS BODY [HEADER…]
 *
 * Stream N is a POST of BODY to PATH, where "%d" stands for N; they are opened evenly over the
 * ramp. After the warming "window" is printed and the counting begins; at the window's end, one
 * line of JSON. A token is the text "@N:T " anywhere in a body, see upstream.c: it counts once, and
 * a missing N is a lost token. One thread, one epoll; a token costs one read() at the most.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { READ_BYTES = 65536, TAIL_BYTES = 64, HEAD_BYTES = 4096, EVENTS = 512, SAMPLE_BYTES = 300 };
enum { HEAD, CHUNK_SIZE, CHUNK, CHUNK_END, PLAIN, OVER };

typedef struct {
    int fd, state, used;
    long long left;         /* bytes of the chunk that are still to come */
    long expected;          /* number of the next token */
    long counted;           /* tokens in the window */
    char head[HEAD_BYTES];  /* the answer's head, then a chunk's size line */
    char tail[TAIL_BYTES];  /* the start of a token that the last piece ended in */
    int tail_bytes;
} Stream;

static int loop, counting;
static long long arrived_ns, window_ns;
static float *latencies_ms;
static long latency_count, latency_room, tokens, window_tokens, lost, refused, closed, failed;
static char sample[SAMPLE_BYTES]; /* the first refusal */

static long long now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void count_token(Stream *s, long number, long long sent_ns) {
    if (number < s->expected) return; /* the whole answer, once more, in a last event */
    lost += number - s->expected;
    s->expected = number + 1;
    tokens++;
    if (!counting) return;
    window_tokens++;
    s->counted++;
    if (latency_count == latency_room) {
        latency_room = latency_room ? latency_room * 2 : 1 << 20;
        latencies_ms = realloc(latencies_ms, latency_room * sizeof *latencies_ms);
        if (!latencies_ms) abort();
    }
    latencies_ms[latency_count++] = (arrived_ns - sent_ns) / 1e6;
}

/* Finds the tokens in text that ends with a 0; answers where one begins that is not complete. */
static char *scan_tokens(Stream *s, char *text, char *end) {
    char *at = text, *after;
    while ((at = memchr(at, '@', end - at))) {
        long number = strtol(at + 1, &after, 10);
        if (after == end) return at;
        if (*after != ':' || after == at + 1) {
            at++;
            continue;
        }
        long long sent_ns = strtoll(after + 1, &after, 10);
        if (after == end) return at;
        count_token(s, number, sent_ns);
        at = after;
    }
    return end;
}

static void take_body(Stream *s, const char *bytes, int count) {
    static char text[TAIL_BYTES + READ_BYTES + 1];
    memcpy(text, s->tail, s->tail_bytes);
    memcpy(text + s->tail_bytes, bytes, count);
    char *end = text + s->tail_bytes + count;
    *end = 0;
    char *rest = scan_tokens(s, text, end);
    s->tail_bytes = end - rest < TAIL_BYTES ? end - rest : 0;
    memcpy(s->tail, rest, s->tail_bytes);
}

/* Collects a line in s->head; 1 when it is complete, without its CR LF. */
static int take_line_byte(Stream *s, char byte) {
    if (byte != '\n') {
        if (s->used < HEAD_BYTES - 1) s->head[s->used++] = byte;
        return 0;
    }
    while (s->used && s->head[s->used - 1] == '\r') s->used--;
    s->head[s->used] = 0;
    s->used = 0;
    return 1;
}

static int take_head_byte(Stream *s, char byte) {
    if (s->used < HEAD_BYTES - 1) s->head[s->used++] = byte;
    s->head[s->used] = 0;
    if (s->used < 4 || memcmp(s->head + s->used - 4, "\r\n\r\n", 4)) return 0;
    s->used = 0;
    s->state = strcasestr(s->head, "transfer-encoding: chunked") ? CHUNK_SIZE : PLAIN;
    return 1;
}

static void note_refusal(Stream *s, const char *rest, int count) {
    if (!strncmp(s->head, "HTTP/1.1 200", 12)) return;
    if (!refused++) snprintf(sample, sizeof sample, "%.40s ... %.*s", s->head, count, rest);
}

static void parse(Stream *s, const char *at, const char *end) {
    while (at < end) {
        if (s->state == HEAD) {
            if (take_head_byte(s, *at++)) note_refusal(s, at, end - at);
        } else if (s->state == CHUNK_SIZE) {
            if (take_line_byte(s, *at++)) {
                s->left = strtoll(s->head, NULL, 16);
                s->state = s->left ? CHUNK : OVER;
            }
        } else if (s->state == CHUNK) {
            long long count = end - at < s->left ? end - at : s->left;
            take_body(s, at, count);
            at += count;
            s->left -= count;
            if (!s->left) s->state = CHUNK_END;
        } else if (s->state == CHUNK_END) {
            if (*at++ == '\n') s->state = CHUNK_SIZE;
        } else if (s->state == PLAIN) {
            take_body(s, at, end - at);
            return;
        } else {
            return;
        }
    }
}

static void read_stream(Stream *s) {
    static char bytes[READ_BYTES];
    ssize_t n = read(s->fd, bytes, sizeof bytes);
    if (n < 0 && errno == EAGAIN) return;
    arrived_ns = now_ns();
    if (n > 0) parse(s, bytes, bytes + n);
    if (n <= 0 || s->state == OVER) {
        closed++;
        close(s->fd);
        s->fd = -1;
    }
}

static void open_stream(Stream *s, int number, int port, char **words, int count) {
    char path[512], request[HEAD_BYTES];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    s->fd = fd;
    /* On the loopback a connect ends at once, unless the server's backlog is full. */
    if (connect(fd, (void *)&at, sizeof at)) {
        failed++;
        return;
    }
    snprintf(path, sizeof path, words[2], number);
    const char *body = words[7];
    int n = snprintf(request, sizeof request,
                     "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: text/event-stream\r\n"
                     "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                     path, port, strlen(body));
    for (int i = 8; i < count; i++)
        n += snprintf(request + n, sizeof request - n, "%s\r\n", words[i]);
    n += snprintf(request + n, sizeof request - n, "\r\n%s", body);
    if (send(fd, request, n, MSG_NOSIGNAL) != n) failed++;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
    epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event);
}

static void read_ready(int wait_ms) {
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(loop, events, EVENTS, wait_ms);
    for (int i = 0; i < ready; i++) {
        Stream *s = events[i].data.ptr;
        if (s->fd >= 0) read_stream(s);
    }
}

static int compare(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double quantile(double q) {
    return latency_count ? latencies_ms[(long)((latency_count - 1) * q)] : -1;
}

static double cpu_seconds(void) {
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return use.ru_utime.tv_sec + use.ru_stime.tv_sec +
           (use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static void report(const Stream *streams, int count, double cpu_before) {
    double seconds = (now_ns() - window_ns) / 1e9, cpu = cpu_seconds() - cpu_before;
    long silent = 0;
    for (int i = 0; i < count; i++) silent += !streams[i].counted;
    qsort(latencies_ms, latency_count, sizeof *latencies_ms, compare);
    for (char *c = sample; *c; c++)
        if (*c == '"' || *c == '\\' || *c < ' ' || *c > '~') *c = ' ';
    printf("{\"seconds\":%.3f,\"tokens\":%ld,\"all_tokens\":%ld,\"silent\":%ld,\"lost\":%ld,"
           "\"refused\":%ld,\"closed\":%ld,\"failed\":%ld,\"p50_ms\":%.3f,\"p95_ms\":%.3f,\"p99_ms\":%.3f,"
           "\"max_ms\":%.3f,\"cpu_seconds\":%.3f,\"refusal\":\"%s\"}\n",
           seconds, window_tokens, tokens, silent, lost, refused, closed, failed, quantile(0.5),
           quantile(0.95), quantile(0.99), quantile(1), cpu, sample);
}

int main(int count, char **words) {
    if (count < 8) {
        fprintf(stderr, "usage: load PORT PATH STREAMS RAMP_SECONDS WARM_SECONDS WINDOW_SECONDS "
                        "BODY [HEADER…]\n");
        return 2;
    }
    int port = atoi(words[1]), wanted = atoi(words[3]), opened = 0;
    double ramp_ns = atof(words[4]) * 1e9, cpu_before = 0;
    Stream *streams = calloc(wanted, sizeof *streams);
    loop = epoll_create1(0);
    long long start_ns = now_ns();
    long long count_from_ns = start_ns + ramp_ns + atof(words[5]) * 1e9;
    long long end_ns = count_from_ns + atof(words[6]) * 1e9;
    for (long long now = start_ns; now < end_ns; now = now_ns()) {
        while (opened < wanted && now - start_ns >= ramp_ns * opened / wanted) {
            open_stream(&streams[opened], opened, port, words, count);
            opened++;
        }
        if (!counting && now >= count_from_ns) {
            counting = 1;
            window_ns = now;
            cpu_before = cpu_seconds();
            puts("window");
            fflush(stdout);
        }
        read_ready(opened < wanted ? 1 : 20);
    }
    report(streams, wanted, cpu_before);
    return 0;
}
