/* Opens streams, reads them, and tells how many tokens came and how long each was under way.
 *
 *     load PORT PATH STEPS PER_SECOND PATIENCE_SECONDS WARM_SECONDS WINDOW_SECONDS TURNS AGAIN BODY
 *         [HEADER…]
 *
 * STEPS are numbers of streams, each at least the one before, such as "100,300". Each step opens
 * what is missing, PER_SECOND of them evenly or, with 0, all at once, waits for the first byte of
 * each, 20 s at the most, and for the first token, PATIENCE_SECONDS at the most, lets things
 * settle for WARM_SECONDS, prints "window", counts for WINDOW_SECONDS, or until all streams have ended, and
 * prints one line of JSON.
 * Stream N is a POST of BODY to PATH, where "%d" stands for N; from number TURNS on, if that is not
 * 0, it is one more reader instead: a GET of PATH/events with N modulo TURNS.
 * With AGAIN 1 whoever has read a stream to its end opens the next, with the next N, on a new
 * connection: a closed loop of so many clients. What "first_…" tells is then of each client's last.
 * "last_end_ms" is from a step's first request to the last end that came.
 * A token is the text "@N:T " anywhere in a body, see upstream.c: it counts once, and a missing N
 * is a lost token. One thread, one epoll; a token costs one read() at the most.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { READ_BYTES = 65536, TAIL_BYTES = 64, HEAD_BYTES = 4096, EVENTS = 512, SAMPLE_BYTES = 300 };
enum { REQUEST_BYTES = 262144 };
enum { HEAD, CHUNK_SIZE, CHUNK, CHUNK_END, PLAIN, OVER };

typedef struct {
    int fd, state, used;
    long long left;         /* bytes of the chunk that are still to come */
    long expected;          /* number of the next token; -1: any */
    long counted;           /* tokens in the window */
    long long opened_ns, first_byte_ns, first_token_ns;
    char head[HEAD_BYTES];  /* the answer's head, then a chunk's size line */
    char tail[TAIL_BYTES];  /* the start of a token that the last piece ended in */
    int tail_bytes;
} Stream;

static Stream *streams;
static int loop, counting, opened, turns, again, next_number, port;
static char **words;
static int word_count;
static long long arrived_ns, step_ns, last_end_ns;
static float *latencies_ms;
static long latency_count, latency_room, window_tokens, lost, refused, ended, closed, failed;
static long window_ended, over;
static char sample[SAMPLE_BYTES]; /* the first refusal */

static long long now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void count_token(Stream *s, long number, long long sent_ns) {
    if (number < s->expected) return; /* the whole answer, once more, in a last event */
    if (s->expected >= 0) lost += number - s->expected;
    s->expected = number + 1;
    if (!s->first_token_ns) s->first_token_ns = arrived_ns;
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

static void open_stream(Stream *s);

static void read_stream(Stream *s) {
    static char bytes[READ_BYTES];
    ssize_t n = read(s->fd, bytes, sizeof bytes);
    if (n < 0 && errno == EAGAIN) return;
    arrived_ns = now_ns();
    if (n > 0 && !s->first_byte_ns) s->first_byte_ns = arrived_ns;
    if (n > 0) parse(s, bytes, bytes + n);
    if (n <= 0 || s->state == OVER) {
        close(s->fd);
        s->fd = -1;
        if (s->state != OVER) closed++;
        else ended++, window_ended += counting, last_end_ns = arrived_ns;
        if (s->state == OVER && again) open_stream(s);
        else over++;
    }
}

static int write_request(Stream *s, char *request, int number) {
    char path[512];
    int reads = turns && number >= turns;
    const char *body = reads ? "" : words[10];
    s->expected = reads ? -1 : 0; /* a reader that comes later may get a later token first */
    snprintf(path, sizeof path, words[2], turns ? number % turns : number);
    int n = snprintf(request, REQUEST_BYTES, "%s %s%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n",
                     reads ? "GET" : "POST", path, reads ? "/events" : "", port);
    n += snprintf(request + n, REQUEST_BYTES - n, "Accept: text/event-stream\r\n");
    if (!reads)
        n += snprintf(request + n, REQUEST_BYTES - n,
                      "Content-Type: application/json\r\nContent-Length: %zu\r\n", strlen(body));
    for (int i = 11; i < word_count; i++)
        n += snprintf(request + n, REQUEST_BYTES - n, "%s\r\n", words[i]);
    return n + snprintf(request + n, REQUEST_BYTES - n, "\r\n%s", body);
}

static void open_stream(Stream *s) {
    static char request[REQUEST_BYTES];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval patience = {.tv_sec = 20};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    memset(s, 0, offsetof(Stream, head));
    s->tail_bytes = 0;
    int n = write_request(s, request, next_number++);
    s->opened_ns = now_ns();
    s->fd = fd;
    /* On the loopback a connect ends at once, unless the server's backlog is full. */
    if (fd < 0 || connect(fd, (void *)&at, sizeof at) || send(fd, request, n, MSG_NOSIGNAL) != n) {
        failed++;
        over++;
        close(fd);
        s->fd = -1;
        return;
    }
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

static double quantile(float *sorted, long count, double q) {
    return count ? sorted[(long)((count - 1) * q)] : -1;
}

static double cpu_seconds(void) {
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return use.ru_utime.tv_sec + use.ru_stime.tv_sec +
           (use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

/* How long the streams from a number on took to their first byte, or to their first token. */
static void report_first(const char *name, int from, size_t field) {
    float *ms = malloc((opened - from + 1) * sizeof *ms);
    long count = 0;
    for (Stream *s = streams + from; s < streams + opened; s++) {
        long long at_ns = *(long long *)((char *)s + field);
        if (at_ns) ms[count++] = (at_ns - s->opened_ns) / 1e6;
    }
    qsort(ms, count, sizeof *ms, compare);
    printf("\"%s_p50_ms\":%.3f,\"%s_p99_ms\":%.3f,\"%s_max_ms\":%.3f,", name,
           quantile(ms, count, 0.5), name, quantile(ms, count, 0.99), name, quantile(ms, count, 1));
    free(ms);
}

static void report(int from, double seconds, double cpu) {
    long silent = 0;
    for (int i = 0; i < opened; i++) silent += !streams[i].counted;
    qsort(latencies_ms, latency_count, sizeof *latencies_ms, compare);
    for (char *c = sample; *c; c++)
        if (*c == '"' || *c == '\\' || *c < ' ' || *c > '~') *c = ' ';
    printf("{\"streams\":%d,\"seconds\":%.3f,\"tokens\":%ld,\"silent\":%ld,\"lost\":%ld,"
           "\"refused\":%ld,\"ended\":%ld,\"ended_in_window\":%ld,\"closed\":%ld,\"failed\":%ld,",
           opened, seconds, window_tokens, silent, lost, refused, ended, window_ended, closed,
           failed);
    report_first("first_byte", from, offsetof(Stream, first_byte_ns));
    report_first("first_token", from, offsetof(Stream, first_token_ns));
    printf("\"last_end_ms\":%.3f,", last_end_ns ? (last_end_ns - step_ns) / 1e6 : -1.0);
    printf("\"p50_ms\":%.3f,\"p95_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,"
           "\"cpu_seconds\":%.3f,\"refusal\":\"%s\"}\n",
           quantile(latencies_ms, latency_count, 0.5), quantile(latencies_ms, latency_count, 0.95),
           quantile(latencies_ms, latency_count, 0.99), quantile(latencies_ms, latency_count, 1),
           cpu, sample);
    fflush(stdout);
}

/* An overloaded server may take long to begin the last answers. */
static void await_bytes(double seconds) {
    long long end_ns = now_ns() + seconds * 1e9;
    for (int i = 0; i < opened && now_ns() < end_ns; i++)
        while (streams[i].fd >= 0 && !streams[i].first_byte_ns && now_ns() < end_ns) read_ready(20);
}

static void open_more(int wanted, double per_second) {
    int from = opened;
    long long start_ns = now_ns();
    while (opened < wanted) {
        double due = per_second ? (now_ns() - start_ns) / 1e9 * per_second : wanted;
        while (opened < wanted && opened - from <= due) {
            open_stream(&streams[opened]);
            opened++;
            if (opened % 8 == 0) read_ready(0);
            if (opened == turns) await_bytes(60); /* from then on a turn has readers */
        }
        if (opened < wanted) read_ready(1);
    }
}

static void read_for(double seconds) {
    long long end_ns = now_ns() + seconds * 1e9;
    while (now_ns() < end_ns && over < opened) read_ready(20);
}

static void await_tokens(double seconds) {
    long long end_ns = now_ns() + seconds * 1e9;
    for (int i = 0; i < opened && now_ns() < end_ns; i++)
        while (streams[i].fd >= 0 && !streams[i].first_token_ns && now_ns() < end_ns) read_ready(20);
}

static void take_step(int wanted) {
    int from = opened;
    step_ns = now_ns();
    open_more(wanted, atof(words[4]));
    await_bytes(20);
    await_tokens(atof(words[5]));
    read_for(atof(words[6]));
    for (int i = 0; i < opened; i++) streams[i].counted = 0;
    latency_count = window_tokens = window_ended = 0;
    puts("window");
    fflush(stdout);
    counting = 1;
    double cpu_before = cpu_seconds();
    long long window_ns = now_ns();
    read_for(atof(words[7]));
    counting = 0;
    report(from, (now_ns() - window_ns) / 1e9, cpu_seconds() - cpu_before);
}

int main(int count, char **arguments) {
    if (count < 11) {
        fprintf(stderr, "usage: load PORT PATH STEPS PER_SECOND PATIENCE_SECONDS WARM_SECONDS "
                        "WINDOW_SECONDS TURNS AGAIN BODY [HEADER…]\n");
        return 2;
    }
    words = arguments;
    word_count = count;
    port = atoi(words[1]);
    int most = atoi(strrchr(words[3], ',') ? strrchr(words[3], ',') + 1 : words[3]);
    streams = calloc(most, sizeof *streams);
    if (!streams) abort();
    turns = atoi(words[8]);
    again = atoi(words[9]);
    loop = epoll_create1(0);
    for (char *step = strtok(words[3], ","); step; step = strtok(NULL, ","))
        take_step(atoi(step));
    return 0;
}
