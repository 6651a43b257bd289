/* load: drives ZooKeeper servers in a closed loop and prints what it saw as one line of JSON.
 *
 *   cc -O2 -pthread -o load load.c
 *   ./load ports op connections window seconds warmup_seconds threads bytes keys
 *
 * ports is one port or several with commas: connections take them in turn, all on loopback.
 * op is get, set, create or mixed (nine gets to one set). Each connection is a session that keeps
 * `window` requests outstanding. Every reply is checked: its xid must be the next one of its
 * connection, its error 0. "echo" sends frames of a get's size and expects as many bytes back, without
 * any protocol: the floor of the machine and of the kernel.
 * With LOAD_AUTH="scheme auth" in the environment every connection authenticates first.
 *
 * Each thread owns its connections, its epoll and its histogram; nothing is shared while measuring.
 */
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "generator.h"

enum op { GET, SET, CREATE, MIXED, ECHO };
enum { PING_XID = -2, OP_CREATE = 1, OP_GET = 4, OP_SET = 5, OP_PING = 11, OP_CLOSE = -11 };
enum { BUFFER = 1 << 20, WINDOW_MAX = 1024, PORTS_MAX = 16 };
#define ECHO_BYTES 61

struct connection {
  int fd;
  uint32_t next_xid, expected_xid;
  uint64_t sent_ns[WINDOW_MAX];
  size_t in_used, out_used, out_sent;
  char *in, *out;
};

struct worker {
  pthread_t thread;
  int number, count, epoll;
  struct connection *connections;
  uint64_t buckets[BUCKETS], done, max_ns, random;
};

static int ports[PORTS_MAX], port_count, opened, total, window, threads, payload, keys;
static enum op op;
static uint64_t begin_ns, end_ns, run_tag;

static char *put_data(char *at) {
  at = put32(at, (uint32_t)payload);
  memset(at, 'x', (size_t)payload);
  return at + payload;
}

static uint64_t draw(struct worker *w) {
  w->random ^= w->random << 13;
  w->random ^= w->random >> 7;
  w->random ^= w->random << 17;
  return w->random;
}

/* One request of `kind` into the connection's buffer. `key` < 0: a random one. */
static void request(struct worker *w, struct connection *c, enum op kind, long key) {
  if (c->out_used + (size_t)payload + 256 > BUFFER) die("the window does not fit the buffer");
  char *start = c->out + c->out_used, *at = start + 4;
  uint32_t xid = c->next_xid++;
  c->sent_ns[xid % WINDOW_MAX] = now_ns();
  if (kind == ECHO) {
    memset(start, 'e', ECHO_BYTES);
    c->out_used += ECHO_BYTES;
    return;
  }
  if (kind == MIXED) kind = draw(w) % 10 ? GET : SET;
  char path[96];
  int size;
  if (kind == CREATE && key < 0)
    size = snprintf(path, sizeof path, "/bench/c-%llx-%d-%d-%u", (unsigned long long)run_tag, w->number,
                    (int)(c - w->connections), xid);
  else
    size = snprintf(path, sizeof path, "/bench/k-%ld", key >= 0 ? key : (long)(draw(w) % (uint64_t)keys));
  if (kind == CREATE && key == -2) size = snprintf(path, sizeof path, "/bench");
  at = put32(at, xid);
  at = put32(at, kind == GET ? OP_GET : kind == SET ? OP_SET : OP_CREATE);
  at = put_text(at, path, size);
  if (kind == GET) {
    *at++ = 0;
  } else if (kind == SET) {
    at = put_data(at);
    at = put32(at, (uint32_t)-1);
  } else {
    at = put_data(at);
    at = put32(at, 1);
    at = put32(at, 31);
    at = put_text(at, "world", 5);
    at = put_text(at, "anyone", 6);
    at = put32(at, 0);
  }
  put32(start, (uint32_t)(at - start - 4));
  c->out_used = (size_t)(at - c->out);
}

static void flush(struct connection *c) {
  while (c->out_sent < c->out_used) {
    ssize_t n = send(c->fd, c->out + c->out_sent, c->out_used - c->out_sent, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n <= 0) die("send");
    c->out_sent += (size_t)n;
  }
  c->out_used = c->out_sent = 0;
}

/* Take the whole frames that have come; gives their number. `any_error`: errors are no failure. */
static int replies(struct worker *w, struct connection *c, int any_error) {
  ssize_t n = recv(c->fd, c->in + c->in_used, BUFFER - c->in_used, MSG_DONTWAIT);
  if (n == 0) { errno = 0; die("the server closed a connection"); }
  if (n < 0) {
    if (errno == EAGAIN || errno == EINTR) return 0;
    die("recv");
  }
  c->in_used += (size_t)n;
  uint64_t now = now_ns();
  size_t at = 0;
  int count = 0;
  for (;;) {
    uint32_t size, xid, error;
    if (op == ECHO) {
      if (c->in_used - at < ECHO_BYTES) break;
      at += ECHO_BYTES;
    } else {
      if (c->in_used - at < 4) break;
      memcpy(&size, c->in + at, 4);
      size = ntohl(size);
      if (c->in_used - at < 4 + (size_t)size) break;
      memcpy(&xid, c->in + at + 4, 4);
      memcpy(&error, c->in + at + 16, 4);
      at += 4 + size;
      if (ntohl(xid) == (uint32_t)PING_XID) continue;
      if (ntohl(xid) != c->expected_xid) { errno = 0; die("a reply out of order"); }
      if (error && !any_error) {
        fprintf(stderr, "load: error %d\n", (int)ntohl(error));
        exit(1);
      }
    }
    if (now >= begin_ns && now < end_ns) {
      uint64_t took = now - c->sent_ns[c->expected_xid % WINDOW_MAX];
      w->buckets[bucket_of(took)]++;
      w->done++;
      if (took > w->max_ns) w->max_ns = took;
    }
    c->expected_xid++;
    count++;
  }
  memmove(c->in, c->in + at, c->in_used - at);
  c->in_used -= at;
  return count;
}

static void open_connection(struct connection *c) {
  int port = ports[opened++ % port_count];
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int on = 1;
  memset(c, 0, sizeof *c);
  c->in = malloc(BUFFER);
  c->out = malloc(BUFFER);
  c->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address)) die("connect");
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  c->next_xid = c->expected_xid = 1;
  if (op == ECHO) return;
  char hello[49] = {0};
  put32(hello, 45);
  put32(hello + 4 + 12, 30000);
  put32(hello + 4 + 24, 16);
  if (send(c->fd, hello, sizeof hello, 0) != sizeof hello) die("send");
  char answer[41];
  receive_all(c->fd, answer, sizeof answer, "no session");
  authenticate(c->fd);
}

static void *work(void *argument) {
  struct worker *w = argument;
  struct epoll_event events[256];
  for (int i = 0; i < w->count; i++) {
    for (int k = 0; k < window; k++) request(w, &w->connections[i], op, -1);
    flush(&w->connections[i]);
  }
  while (now_ns() < end_ns) {
    int ready = epoll_wait(w->epoll, events, 256, 100);
    for (int i = 0; i < ready; i++) {
      struct connection *c = events[i].data.ptr;
      int count = replies(w, c, 0);
      for (int k = 0; k < count; k++) request(w, c, op, -1);
      if (count) flush(c);
    }
  }
  return NULL;
}

/* The keys, once: a window of creates on one connection. Keys that exist are as good as new ones. */
static void make_keys(void) {
  struct worker w = {.random = 1};
  struct connection c;
  w.connections = &c;
  open_connection(&c);
  request(&w, &c, CREATE, -2);
  flush(&c);
  while (!replies(&w, &c, 1)) usleep(100);
  for (long key = 0, open = 0; key < keys || open;) {
    while (open < 100 && key < keys) { request(&w, &c, CREATE, key++); open++; }
    flush(&c);
    open -= replies(&w, &c, 1);
  }
  close(c.fd);
}

int main(int argc, char **argv) {
  static const char *names[] = {"get", "set", "create", "mixed", "echo"};
  if (argc != 10) {
    fprintf(stderr, "usage: %s ports op connections window seconds warmup threads bytes keys\n", argv[0]);
    return 2;
  }
  for (char *at = argv[1]; *at && port_count < PORTS_MAX; at += strspn(at, ","))
    ports[port_count++] = (int)strtol(at, &at, 10);
  for (op = GET; op <= ECHO && strcmp(names[op], argv[2]); op++) {}
  total = atoi(argv[3]);
  window = atoi(argv[4]);
  double seconds = atof(argv[5]), warmup = atof(argv[6]);
  threads = atoi(argv[7]);
  payload = atoi(argv[8]);
  keys = atoi(argv[9]);
  if (!port_count || op > ECHO || total < threads || window < 1 || window >= WINDOW_MAX || payload > 100000) {
    fprintf(stderr, "load: an argument is out of its bounds\n");
    return 2;
  }
  run_tag = now_ns();
  begin_ns = UINT64_MAX;
  if (op != ECHO) make_keys();
  struct worker *workers = calloc((size_t)threads, sizeof *workers);
  for (int t = 0; t < threads; t++) {
    struct worker *w = &workers[t];
    w->number = t;
    w->random = 88172645463325252ull + (uint64_t)t * 7919;
    w->count = total / threads + (t < total % threads);
    w->connections = calloc((size_t)w->count, sizeof *w->connections);
    w->epoll = epoll_create1(0);
    for (int i = 0; i < w->count; i++) {
      open_connection(&w->connections[i]);
      struct epoll_event event = {.events = EPOLLIN, .data.ptr = &w->connections[i]};
      if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->connections[i].fd, &event)) die("epoll_ctl");
    }
  }
  begin_ns = now_ns() + (uint64_t)(warmup * 1e9);
  end_ns = begin_ns + (uint64_t)(seconds * 1e9);
  for (int t = 0; t < threads; t++) pthread_create(&workers[t].thread, NULL, work, &workers[t]);
  uint64_t buckets[BUCKETS] = {0}, done = 0, max = 0;
  for (int t = 0; t < threads; t++) {
    pthread_join(workers[t].thread, NULL);
    done += workers[t].done;
    if (workers[t].max_ns > max) max = workers[t].max_ns;
    for (int i = 0; i < BUCKETS; i++) buckets[i] += workers[t].buckets[i];
  }
  printf("{\"ops\": %llu, \"seconds\": %.3f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f}\n",
         (unsigned long long)done, seconds, (double)quantile(buckets, done, 0.5) / 1e3,
         (double)quantile(buckets, done, 0.99) / 1e3, (double)max / 1e3);
  return 0;
}
