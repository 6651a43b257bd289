/* neighbour: the parts of a noisy-neighbour run that are no closed loop (benchmarks/neighbour.py).
 *
 *   cc -O2 -o neighbour neighbour.c
 *   ./neighbour quiet ports connections rate seconds write_percent idle
 *   ./neighbour multis ports connections window seconds operations
 *   ./neighbour arrivals ports connections seconds
 *
 * quiet: an open loop, `rate` requests a second whether replies come or not, evenly over the
 * connections; time runs from the send. `idle` sessions of 4 s do nothing but ping three times in
 * that time. At the end each session is taken up again on a new connection: who is refused has
 * expired. multis: each connection keeps `window` multis of so many setData outstanding.
 * arrivals: each connection opens a session, closes it and begins again, as fast as it goes.
 * Prints one line of JSON. With LOAD_AUTH="scheme auth" in the environment all authenticate first.
 */
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "generator.h"

enum { OP_CREATE = 1, OP_GET = 4, OP_SET = 5, OP_PING = 11, OP_MULTI = 14, OP_CLOSE = -11 };
enum { PING_XID = -2, KEYS = 100, SENT_MAX = 65536, IN_BYTES = 1 << 20, PAYLOAD = 100, PORTS_MAX = 16 };
enum { TIMEOUT_MS = 30000, IDLE_TIMEOUT_MS = 4000, IDLE_PING_MS = 1300, GRACE_MS = 5000 };

struct connection {
  int fd, alive;
  uint32_t next_xid, expected_xid;
  uint64_t sent_ns[SENT_MAX], ping_ns, session, used;
  unsigned char is_write[SENT_MAX];
  char password[16], *in;
};

static int ports[PORTS_MAX], port_count, opened;
static uint64_t reads[BUCKETS], writes[BUCKETS], pings[BUCKETS], all[BUCKETS];
static uint64_t read_count, write_count, ping_count, max_ns, errors, throttled, lost, expired;
static uint64_t state = 88172645463325252ull;

static uint64_t draw(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

static int dial(void) {
  int port = ports[opened++ % port_count], on = 1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) die("connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

static int hello(char *into, uint64_t session, const char *password, int timeout_ms) {
  memset(into, 0, 49);
  put32(into, 45);
  put32(into + 4 + 12, (uint32_t)timeout_ms);
  put32(into + 4 + 16, (uint32_t)(session >> 32));
  put32(into + 4 + 20, (uint32_t)session);
  put32(into + 4 + 24, 16);
  memcpy(into + 4 + 28, password, 16);
  return 49;
}

static uint32_t get32(const char *at) {
  uint32_t value;
  memcpy(&value, at, 4);
  return ntohl(value);
}

/* A session on a new connection, or an old one taken up again; 0 where it has expired. */
static int open_session(struct connection *c, int timeout_ms) {
  static const char none[16];
  char packet[49], answer[41];
  c->fd = dial();
  hello(packet, c->session, c->session ? c->password : none, timeout_ms);
  if (send(c->fd, packet, sizeof packet, MSG_NOSIGNAL) != sizeof packet) die("send");
  receive_all(c->fd, answer, sizeof answer, "no session");
  if (!get32(answer + 8)) return 0;
  c->session = (uint64_t)get32(answer + 12) << 32 | get32(answer + 16);
  memcpy(c->password, answer + 24, 16);
  c->next_xid = c->expected_xid = 1;
  c->used = 0;
  c->alive = 1;
  authenticate(c->fd);
  return 1;
}

static char *put_key(char *at, unsigned key) {
  char path[32];
  return put_text(at, path, snprintf(path, sizeof path, "/bench/k-%u", key));
}

static char *put_payload(char *at) {
  at = put32(at, PAYLOAD);
  memset(at, 'x', PAYLOAD);
  return at + PAYLOAD;
}

static void transmit(struct connection *c, const char *from, size_t size) {
  while (size) {
    ssize_t n = send(c->fd, from, size, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      c->alive = 0;
      lost++;
      return;
    }
    from += n;
    size -= (size_t)n;
  }
}

static void send_request(struct connection *c, int op) {
  char packet[512], *at = packet + 4;
  uint32_t xid = op == OP_PING ? (uint32_t)PING_XID : c->next_xid++;
  at = put32(at, xid);
  at = put32(at, (uint32_t)op);
  if (op == OP_GET) {
    at = put_key(at, (unsigned)(draw() % KEYS));
    *at++ = 0;
  } else if (op == OP_SET) {
    at = put_payload(put_key(at, (unsigned)(draw() % KEYS)));
    at = put32(at, (uint32_t)-1);
  }
  put32(packet, (uint32_t)(at - packet - 4));
  if (op == OP_PING) {
    c->ping_ns = now_ns();
  } else {
    c->is_write[xid % SENT_MAX] = op == OP_SET;
    c->sent_ns[xid % SENT_MAX] = now_ns();
  }
  transmit(c, packet, (size_t)(at - packet));
}

/* Count the whole frames that have come; how many replies, pings left out. */
static int take(struct connection *c, uint64_t begin_ns) {
  ssize_t n = recv(c->fd, c->in + c->used, IN_BYTES - c->used, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  if (n <= 0) {
    c->alive = 0;
    lost++;
    close(c->fd);
    return 0;
  }
  c->used += (uint64_t)n;
  uint64_t now = now_ns(), at = 0;
  int count = 0;
  while (c->used - at >= 4 && c->used - at >= 4 + get32(c->in + at)) {
    uint32_t xid = get32(c->in + at + 4), error = get32(c->in + at + 16);
    at += 4 + get32(c->in + at);
    if (xid == (uint32_t)PING_XID) {
      if (now >= begin_ns) pings[bucket_of(now - c->ping_ns)]++, ping_count++;
      continue;
    }
    if (xid != c->expected_xid++) { errno = 0; die("a reply out of order"); }
    count++;
    uint64_t sent = c->sent_ns[xid % SENT_MAX];
    if (sent < begin_ns) continue;
    if (error == (uint32_t)-127) throttled++;
    else if (error) errors++;
    uint64_t took = now - sent;
    if (took > max_ns) max_ns = took;
    all[bucket_of(took)]++;
    if (c->is_write[xid % SENT_MAX]) writes[bucket_of(took)]++, write_count++;
    else reads[bucket_of(took)]++, read_count++;
  }
  memmove(c->in, c->in + at, c->used - at);
  c->used -= at;
  return count;
}

/* The parent and the keys; what is there already is as good. */
static void make_keys(void) {
  static struct connection c;
  char packet[512], answer[512];
  if (!open_session(&c, TIMEOUT_MS)) die("no session");
  for (int key = -1; key < KEYS; key++) {
    char *at = put32(put32(packet + 4, (uint32_t)(key + 2)), OP_CREATE);
    at = key < 0 ? put_text(at, "/bench", 6) : put_key(at, (unsigned)key);
    at = put32(put32(put_payload(at), 1), 31);
    at = put32(put_text(put_text(at, "world", 5), "anyone", 6), 0);
    put32(packet, (uint32_t)(at - packet - 4));
    transmit(&c, packet, (size_t)(at - packet));
    receive_all(c.fd, answer, 4, "no reply to a create");
    receive_all(c.fd, answer + 4, get32(answer), "no reply to a create");
  }
  close(c.fd);
}

static struct connection *make(int count, int poll, int timeout_ms) {
  struct connection *made = calloc((size_t)count, sizeof *made);
  for (int i = 0; i < count; i++) {
    made[i].in = malloc(IN_BYTES);
    if (!open_session(&made[i], timeout_ms)) die("no session");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &made[i]};
    epoll_ctl(poll, EPOLL_CTL_ADD, made[i].fd, &event);
  }
  return made;
}

static void recheck(struct connection *made, int count, int timeout_ms) {
  for (int i = 0; i < count; i++) {
    if (made[i].alive) close(made[i].fd);
    if (!open_session(&made[i], timeout_ms)) expired++;
  }
}

static void quiet(int count, double rate, double seconds, int write_percent, int idle_count) {
  int poll = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  struct connection *busy = make(count, poll, TIMEOUT_MS), *idle = make(idle_count, poll, IDLE_TIMEOUT_MS);
  uint64_t gap_ns = (uint64_t)(1e9 / rate), start = now_ns(), begin = start + 500000000ull;
  uint64_t end = begin + (uint64_t)(seconds * 1e9), due = start, next = 0, missing = 0;
  struct itimerspec every = {.it_interval.tv_nsec = (long)(gap_ns % 1000000000u), .it_value.tv_nsec = 1};
  timerfd_settime(timer, 0, &every, NULL);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[64];
  epoll_ctl(poll, EPOLL_CTL_ADD, timer, &event);
  uint64_t pinged = start, number = 0;
  while (now_ns() < end) {
    int ready = epoll_wait(poll, events, 64, 100);
    for (int i = 0; i < ready; i++) {
      struct connection *c = events[i].data.ptr;
      if (c && c->alive) take(c, begin);
    }
    uint64_t ticks;
    if (read(timer, &ticks, 8) < 0 && errno != EAGAIN) die("timer");
    for (uint64_t now = now_ns(); due <= now; due += gap_ns) {
      struct connection *c = &busy[next++ % (uint64_t)count];
      if (c->alive) send_request(c, (int)(draw() % 100) < write_percent ? OP_SET : OP_GET);
      else if (now >= begin) missing++;
    }
    for (; idle_count && pinged <= now_ns(); pinged += (uint64_t)IDLE_PING_MS * 1000000 / (uint64_t)idle_count) {
      struct connection *c = &idle[number++ % (uint64_t)idle_count];
      if (c->alive) send_request(c, OP_PING);
    }
  }
  uint64_t until = now_ns() + (uint64_t)GRACE_MS * 1000000, unanswered = 1;
  while (unanswered && now_ns() < until) {
    int ready = epoll_wait(poll, events, 64, 10);
    for (int i = 0; i < ready; i++) {
      struct connection *c = events[i].data.ptr;
      if (c && c->alive) take(c, begin);
    }
    unanswered = 0;
    for (int i = 0; i < count; i++) unanswered += busy[i].next_xid - busy[i].expected_xid;
  }
  recheck(busy, count, TIMEOUT_MS);
  recheck(idle, idle_count, IDLE_TIMEOUT_MS);
  uint64_t done = read_count + write_count;
  printf("{\"ops\": %llu, \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f, ",
         (unsigned long long)done, (double)quantile(all, done, 0.5) / 1e3, (double)quantile(all, done, 0.99) / 1e3,
         (double)quantile(all, done, 0.999) / 1e3, (double)max_ns / 1e3);
  printf("\"read_p99_us\": %.1f, \"write_p50_us\": %.1f, \"write_p99_us\": %.1f, \"ping_p99_us\": %.1f, ",
         (double)quantile(reads, read_count, 0.99) / 1e3, (double)quantile(writes, write_count, 0.5) / 1e3,
         (double)quantile(writes, write_count, 0.99) / 1e3, (double)quantile(pings, ping_count, 0.99) / 1e3);
  printf("\"errors\": %llu, \"throttled\": %llu, \"lost\": %llu, \"expired\": %llu, \"unanswered\": %llu}\n",
         (unsigned long long)errors, (unsigned long long)throttled, (unsigned long long)lost,
         (unsigned long long)expired, (unsigned long long)(unanswered + missing));
}

static void multis(int count, int window, double seconds, int operations) {
  int poll = epoll_create1(0);
  struct connection *made = make(count, poll, TIMEOUT_MS);
  size_t room = 64 + (size_t)operations * 160;
  char *packet = malloc(room), *at = put32(packet + 8, OP_MULTI);
  for (int i = 0; i < operations; i++) {
    at = put32(at, OP_SET);
    *at++ = 0;
    at = put32(at, (uint32_t)-1);
    at = put32(put_payload(put_key(at, (unsigned)i % KEYS)), (uint32_t)-1);
  }
  at = put32(at, (uint32_t)-1);
  *at++ = 1;
  at = put32(at, (uint32_t)-1);
  put32(packet, (uint32_t)(at - packet - 4));
  uint64_t end = now_ns() + (uint64_t)(seconds * 1e9), done = 0;
  struct epoll_event events[64];
  for (int i = 0; i < count * window; i++) {
    put32(packet + 4, made[i % count].next_xid++);
    transmit(&made[i % count], packet, (size_t)(at - packet));
  }
  while (now_ns() < end) {
    int ready = epoll_wait(poll, events, 64, 100);
    for (int i = 0; i < ready; i++) {
      struct connection *c = events[i].data.ptr;
      int replies = c->alive ? take(c, 0) : 0;
      done += (uint64_t)replies;
      for (; replies > 0 && c->alive; replies--) {
        put32(packet + 4, c->next_xid++);
        transmit(c, packet, (size_t)(at - packet));
      }
    }
  }
  printf("{\"ops\": %llu, \"lost\": %llu}\n", (unsigned long long)done, (unsigned long long)lost);
}

static void arrivals(int count, double seconds) {
  static const char none[16];
  uint64_t end = now_ns() + (uint64_t)(seconds * 1e9), done = 0;
  int *fds = calloc((size_t)count, sizeof *fds);
  char packet[64], answer[41];
  while (now_ns() < end) {
    for (int i = 0; i < count; i++) {
      fds[i] = dial();
      if (send(fds[i], packet, (size_t)hello(packet, 0, none, IDLE_TIMEOUT_MS), MSG_NOSIGNAL) < 0) lost++;
    }
    for (int i = 0; i < count; i++) {
      if (recv(fds[i], answer, sizeof answer, MSG_WAITALL) != sizeof answer) {
        lost++;
      } else {
        authenticate(fds[i]);
        put32(put32(put32(packet, 8), 1), (uint32_t)OP_CLOSE);
        if (send(fds[i], packet, 12, MSG_NOSIGNAL) < 0) lost++;
        done++;
      }
    }
    for (int i = 0; i < count; i++) {
      while (recv(fds[i], answer, sizeof answer, 0) > 0) {}
      close(fds[i]);
    }
  }
  printf("{\"ops\": %llu, \"lost\": %llu}\n", (unsigned long long)done, (unsigned long long)lost);
}

int main(int argc, char **argv) {
  if (argc < 5) {
    fprintf(stderr, "usage: %s quiet|multis|arrivals ports connections ...\n", argv[0]);
    return 2;
  }
  for (char *at = argv[2]; *at && port_count < PORTS_MAX; at += strspn(at, ","))
    ports[port_count++] = (int)strtol(at, &at, 10);
  int count = atoi(argv[3]);
  if (!strcmp(argv[1], "arrivals") && argc == 5) {
    arrivals(count, atof(argv[4]));
    return 0;
  }
  make_keys();
  if (!strcmp(argv[1], "quiet") && argc == 8)
    quiet(count, atof(argv[4]), atof(argv[5]), atoi(argv[6]), atoi(argv[7]));
  else if (!strcmp(argv[1], "multis") && argc == 7)
    multis(count, atoi(argv[4]), atof(argv[5]), atoi(argv[6]));
  else
    return 2;
  return 0;
}
