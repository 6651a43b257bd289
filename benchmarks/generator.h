/* What the generators have in common: time, histograms, frames, sessions. Included, not linked. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { SUB_BITS = 5, BUCKETS = 64 << SUB_BITS };
enum { AUTH_XID = -4, OP_AUTH = 100 };

static void die(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* A histogram: 32 buckets for each power of two. */

static int bucket_of(uint64_t ns) {
  if (ns < (1u << SUB_BITS)) return (int)ns;
  int shift = 63 - __builtin_clzll(ns) - SUB_BITS;
  return ((shift + 1) << SUB_BITS) + (int)((ns >> shift) & ((1u << SUB_BITS) - 1));
}

static uint64_t value_of(int bucket) {
  int shift = (bucket >> SUB_BITS) - 1;
  if (shift < 0) return (uint64_t)bucket;
  return ((1ull << SUB_BITS) + (uint64_t)(bucket & ((1 << SUB_BITS) - 1))) << shift;
}

static uint64_t quantile(uint64_t *buckets, uint64_t count, double q) {
  uint64_t wanted = (uint64_t)(q * (double)count), seen = 0;
  for (int i = 0; i < BUCKETS; i++)
    if ((seen += buckets[i]) > wanted) return value_of(i);
  return 0;
}

/* Writing requests: big-endian, a length in front of everything. */

static char *put32(char *at, uint32_t value) {
  value = htonl(value);
  memcpy(at, &value, 4);
  return at + 4;
}

static char *put_text(char *at, const char *text, int size) {
  at = put32(at, (uint32_t)size);
  memcpy(at, text, (size_t)size);
  return at + size;
}

static void receive_all(int fd, char *into, ssize_t size, const char *what) {
  for (ssize_t got = 0; got < size;) {
    ssize_t n = recv(fd, into + got, (size_t)(size - got), 0);
    if (n <= 0) die(what);
    got += n;
  }
}

/* LOAD_AUTH: an auth packet, and its reply, which is a header alone. */
static void authenticate(int fd) {
  const char *text = getenv("LOAD_AUTH");
  if (!text) return;
  const char *blank = strchr(text, ' ');
  if (!blank || strlen(text) > 400) die("LOAD_AUTH is no `scheme auth`");
  char packet[512], *at = packet + 4, answer[20];
  uint32_t error;
  at = put32(at, (uint32_t)AUTH_XID);
  at = put32(at, OP_AUTH);
  at = put32(at, 0);
  at = put_text(at, text, (int)(blank - text));
  at = put_text(at, blank + 1, (int)strlen(blank + 1));
  put32(packet, (uint32_t)(at - packet - 4));
  if (send(fd, packet, (size_t)(at - packet), 0) != at - packet) die("send");
  receive_all(fd, answer, sizeof answer, "the credential was not taken");
  memcpy(&error, answer + 16, 4);
  if (error) { errno = 0; die("the credential was refused"); }
}
