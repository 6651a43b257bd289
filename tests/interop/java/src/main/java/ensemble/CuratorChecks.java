package ensemble;

import static ensemble.Checks.equal;
import static ensemble.Checks.that;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.queue.SimpleDistributedQueue;
import org.apache.curator.retry.RetryForever;
import org.apache.zookeeper.CreateMode;

/** Curator's recipes: locks, elections, caches, queues, barriers, and what a restart does to them. */
public final class CuratorChecks {
  static CuratorFramework connect(String servers) throws Exception {
    var builder =
        CuratorFrameworkFactory.builder()
            .connectString(servers)
            .sessionTimeoutMs(20_000)
            .connectionTimeoutMs(10_000)
            .retryPolicy(new RetryForever(100));
    String tenant = System.getProperty("tenant"); // all that a tenant adds
    if (tenant != null) {
      builder.authorization("tenant", bytes(tenant));
    }
    CuratorFramework client = builder.build();
    client.start();
    that(client.blockUntilConnected(10, TimeUnit.SECONDS), "not connected");
    return client;
  }

  static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  static void until(BooleanSupplier holds) throws Exception {
    for (int i = 0; i < 200 && !holds.getAsBoolean(); i++) {
      Thread.sleep(50);
    }
    that(holds.getAsBoolean(), "not within ten seconds");
  }

  static void mutex(String servers) throws Exception {
    int clients = 5;
    int rounds = Integer.getInteger("rounds", 20);
    AtomicInteger inside = new AtomicInteger();
    AtomicInteger entered = new AtomicInteger();
    ExecutorService pool = Executors.newFixedThreadPool(clients);
    List<Future<?>> runs = new ArrayList<>();
    for (int i = 0; i < clients; i++) {
      runs.add(
          pool.submit(
              () -> {
                try (CuratorFramework client = connect(servers)) {
                  InterProcessMutex lock = new InterProcessMutex(client, "/mutex");
                  for (int round = 0; round < rounds; round++) {
                    that(lock.acquire(30, TimeUnit.SECONDS), "no lock");
                    equal(1, inside.incrementAndGet(), "holders");
                    entered.incrementAndGet();
                    inside.decrementAndGet();
                    lock.release();
                  }
                }
                return null;
              }));
    }
    for (Future<?> run : runs) {
      run.get(60, TimeUnit.SECONDS);
    }
    equal(clients * rounds, entered.get(), "entries");
  }

  static void readWriteLock(String servers) throws Exception {
    try (CuratorFramework a = connect(servers);
        CuratorFramework b = connect(servers)) {
      InterProcessReadWriteLock one = new InterProcessReadWriteLock(a, "/rw");
      InterProcessReadWriteLock two = new InterProcessReadWriteLock(b, "/rw");
      one.readLock().acquire();
      that(two.readLock().acquire(5, TimeUnit.SECONDS), "two readers");
      that(!two.writeLock().acquire(300, TimeUnit.MILLISECONDS), "a writer beside readers");
      one.readLock().release();
      two.readLock().release();
      that(two.writeLock().acquire(5, TimeUnit.SECONDS), "a writer alone");
      that(!one.readLock().acquire(300, TimeUnit.MILLISECONDS), "a reader beside a writer");
      two.writeLock().release();
    }
  }

  static void semaphore(String servers) throws Exception {
    try (CuratorFramework client = connect(servers)) {
      InterProcessSemaphoreV2 semaphore = new InterProcessSemaphoreV2(client, "/semaphore", 2);
      var first = semaphore.acquire(5, TimeUnit.SECONDS);
      var second = semaphore.acquire(5, TimeUnit.SECONDS);
      that(first != null && second != null, "two leases");
      that(semaphore.acquire(300, TimeUnit.MILLISECONDS) == null, "a third lease");
      semaphore.returnLease(first);
      that(semaphore.acquire(5, TimeUnit.SECONDS) != null, "a returned lease");
    }
  }

  static void leaderLatch(String servers) throws Exception {
    CuratorFramework a = connect(servers);
    CuratorFramework b = connect(servers);
    LeaderLatch one = new LeaderLatch(a, "/latch", "one");
    LeaderLatch two = new LeaderLatch(b, "/latch", "two");
    one.start();
    that(one.await(10, TimeUnit.SECONDS), "the first leads");
    two.start();
    that(!two.await(300, TimeUnit.MILLISECONDS), "only one leads");
    a.close(); // its ephemeral goes with its session
    that(two.await(10, TimeUnit.SECONDS), "the second takes over");
    two.close();
    b.close();
  }

  static void leaderSelector(String servers) throws Exception {
    AtomicInteger leading = new AtomicInteger();
    AtomicBoolean together = new AtomicBoolean();
    CountDownLatch terms = new CountDownLatch(Integer.getInteger("terms", 6));
    List<CuratorFramework> clients = new ArrayList<>();
    List<LeaderSelector> selectors = new ArrayList<>();
    for (int i = 0; i < 3; i++) {
      CuratorFramework client = connect(servers);
      clients.add(client);
      LeaderSelector selector =
          new LeaderSelector(
              client,
              "/selector",
              new LeaderSelectorListenerAdapter() {
                @Override
                public void takeLeadership(CuratorFramework leader) throws Exception {
                  // A lost connection ends a term by an interrupt.
                  try {
                    if (leading.incrementAndGet() == 1) {
                      Thread.sleep(20);
                      terms.countDown();
                    } else {
                      together.set(true);
                    }
                  } finally {
                    leading.decrementAndGet();
                  }
                }
              });
      selector.autoRequeue();
      selector.start();
      selectors.add(selector);
    }
    that(terms.await(60, TimeUnit.SECONDS), "all terms");
    that(!together.get(), "two led at a time");
    selectors.forEach(LeaderSelector::close);
    clients.forEach(CuratorFramework::close);
  }

  static void cache(String servers) throws Exception {
    try (CuratorFramework client = connect(servers)) {
      client.create().forPath("/cache", bytes("0"));
      List<String> seen = Collections.synchronizedList(new ArrayList<>());
      CountDownLatch ready = new CountDownLatch(1);
      CountDownLatch events = new CountDownLatch(4);
      CuratorCache cache = CuratorCache.build(client, "/cache");
      cache
          .listenable()
          .addListener(
              CuratorCacheListener.builder()
                  .afterInitialized()
                  .forAll(
                      (type, before, now) -> {
                        seen.add(type + " " + (now == null ? before : now).getPath());
                        events.countDown();
                      })
                  .build());
      cache.listenable().addListener(CuratorCacheListener.builder().forInitialized(ready::countDown).build());
      cache.start();
      that(ready.await(10, TimeUnit.SECONDS), "not initialized");
      // The cache reads after each event, so each step waits until it has seen the one before.
      client.create().forPath("/cache/a", bytes("1"));
      until(() -> cache.get("/cache/a").isPresent());
      client.setData().forPath("/cache/a", bytes("2"));
      until(() -> new String(cache.get("/cache/a").get().getData()).equals("2"));
      client.create().forPath("/cache/a/b", bytes("3"));
      until(() -> cache.get("/cache/a/b").isPresent());
      client.delete().forPath("/cache/a/b");
      that(events.await(10, TimeUnit.SECONDS), "events: " + seen);
      that(seen.contains("NODE_CREATED /cache/a/b"), "events: " + seen);
      that(seen.contains("NODE_DELETED /cache/a/b"), "events: " + seen);
      equal("2", new String(cache.get("/cache/a").get().getData()), "cached data");
      cache.close();
    }
  }

  static void queue(String servers) throws Exception {
    try (CuratorFramework client = connect(servers)) {
      SimpleDistributedQueue queue = new SimpleDistributedQueue(client, "/queue");
      for (int i = 0; i < 50; i++) {
        that(queue.offer(bytes("item-" + i)), "offer");
      }
      for (int i = 0; i < 50; i++) {
        equal("item-" + i, new String(queue.poll(5, TimeUnit.SECONDS)), "in order");
      }
      that(queue.poll(200, TimeUnit.MILLISECONDS) == null, "empty");
    }
  }

  static void barrier(String servers) throws Exception {
    int members = 4;
    AtomicInteger inside = new AtomicInteger();
    ExecutorService pool = Executors.newFixedThreadPool(members);
    List<Future<?>> runs = new ArrayList<>();
    for (int i = 0; i < members; i++) {
      runs.add(
          pool.submit(
              () -> {
                try (CuratorFramework client = connect(servers)) {
                  var barrier = new DistributedDoubleBarrier(client, "/barrier", members);
                  inside.incrementAndGet();
                  that(barrier.enter(20, TimeUnit.SECONDS), "enter");
                  equal(members, inside.get(), "members at the barrier");
                  that(barrier.leave(20, TimeUnit.SECONDS), "leave");
                }
                return null;
              }));
    }
    for (Future<?> run : runs) {
      run.get(60, TimeUnit.SECONDS);
    }
  }

  static void counter(String servers) throws Exception {
    int clients = 4;
    ExecutorService pool = Executors.newFixedThreadPool(clients);
    List<Future<?>> runs = new ArrayList<>();
    for (int i = 0; i < clients; i++) {
      runs.add(
          pool.submit(
              () -> {
                try (CuratorFramework client = connect(servers)) {
                  var counter = new DistributedAtomicLong(client, "/counter", new RetryForever(5));
                  for (int round = 0; round < 25; round++) {
                    that(counter.increment().succeeded(), "increment");
                  }
                }
                return null;
              }));
    }
    for (Future<?> run : runs) {
      run.get(60, TimeUnit.SECONDS);
    }
    try (CuratorFramework client = connect(servers)) {
      long total = new DistributedAtomicLong(client, "/counter", new RetryForever(5)).get().postValue();
      equal(100L, total, "no increment is lost");
    }
  }

  static void restart(String servers) throws Exception {
    CuratorFramework client = connect(servers);
    PersistentNode node =
        new PersistentNode(client, CreateMode.EPHEMERAL, false, "/restart-node", bytes("here"));
    node.start();
    that(node.waitForInitialCreate(10, TimeUnit.SECONDS), "created");
    LeaderLatch latch = new LeaderLatch(client, "/restart-latch");
    latch.start();
    that(latch.await(10, TimeUnit.SECONDS), "leads");
    InterProcessMutex lock = new InterProcessMutex(client, "/restart-lock");
    lock.acquire();
    client.create().forPath("/restart-cache", bytes("0"));
    CuratorCache cache = CuratorCache.build(client, "/restart-cache");
    CountDownLatch changed = new CountDownLatch(1);
    cache
        .listenable()
        .addListener(CuratorCacheListener.builder().forChanges((a, b) -> changed.countDown()).build());
    CountDownLatch ready = new CountDownLatch(1);
    cache.listenable().addListener(CuratorCacheListener.builder().forInitialized(ready::countDown).build());
    cache.start();
    that(ready.await(10, TimeUnit.SECONDS), "not initialized");
    long session = client.getZookeeperClient().getZooKeeper().getSessionId();
    Checks.yourTurn();
    client.setData().forPath("/restart-cache", bytes("1")); // retries until there is a connection
    equal(session, client.getZookeeperClient().getZooKeeper().getSessionId(), "session");
    that(changed.await(10, TimeUnit.SECONDS), "the cache goes on");
    that(latch.await(10, TimeUnit.SECONDS), "leads again");
    that(client.checkExists().forPath("/restart-node") != null, "the ephemeral is there");
    lock.release();
    client.close();
  }

  public static void main(String[] arguments) throws Exception {
    Checks checks = new Checks();
    checks.add("mutex", CuratorChecks::mutex);
    checks.add("read-write-lock", CuratorChecks::readWriteLock);
    checks.add("semaphore", CuratorChecks::semaphore);
    checks.add("leader-latch", CuratorChecks::leaderLatch);
    checks.add("leader-selector", CuratorChecks::leaderSelector);
    checks.add("cache", CuratorChecks::cache);
    checks.add("queue", CuratorChecks::queue);
    checks.add("barrier", CuratorChecks::barrier);
    checks.add("counter", CuratorChecks::counter);
    checks.add("restart", CuratorChecks::restart);
    checks.main(arguments);
  }
}
