package ensemble;

import static ensemble.Checks.equal;
import static ensemble.Checks.that;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooDefs.Perms;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;
import org.apache.zookeeper.server.auth.DigestAuthenticationProvider;

/** What ZooKeeper's own Java client does with a server. */
public final class ClientChecks {
  static final class Events implements Watcher {
    final BlockingQueue<WatchedEvent> queue = new LinkedBlockingQueue<>();
    final CountDownLatch connected = new CountDownLatch(1);

    @Override
    public void process(WatchedEvent event) {
      if (event.getType() == EventType.None) {
        if (event.getState() == KeeperState.SyncConnected) {
          connected.countDown();
        }
      } else {
        queue.add(event);
      }
    }

    void expect(EventType type, String path) throws Exception {
      WatchedEvent event = queue.poll(10, TimeUnit.SECONDS);
      that(event != null, "no event, wanted " + type + " " + path);
      equal(type + " " + path, event.getType() + " " + event.getPath(), "event");
    }

    void expectNothing() throws Exception {
      WatchedEvent event = queue.poll(300, TimeUnit.MILLISECONDS);
      that(event == null, "an event that was not asked for: " + event);
    }
  }

  static ZooKeeper connect(String servers, Events events) throws Exception {
    ZooKeeper zk = new ZooKeeper(servers, 10_000, events);
    that(events.connected.await(10, TimeUnit.SECONDS), "not connected");
    return zk;
  }

  static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  static String make(ZooKeeper zk, String path) throws Exception {
    return zk.create(path, bytes("x"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
  }

  interface Call {
    void run() throws Exception;
  }

  static void fails(KeeperException.Code code, Call call) throws Exception {
    try {
      call.run();
    } catch (KeeperException error) {
      equal(code, error.code(), "error");
      return;
    }
    throw new AssertionError("no error, wanted " + code);
  }

  static void wholeApi(String servers) throws Exception {
    ZooKeeper zk = connect(servers, new Events());
    make(zk, "/api");
    Stat stat = new Stat();
    equal("x", new String(zk.getData("/api", false, stat)), "data");
    equal(0, stat.getVersion(), "version");
    Stat set = zk.setData("/api", bytes("y"), 0);
    equal(1, set.getVersion(), "version after set");
    fails(KeeperException.Code.BADVERSION, () -> zk.setData("/api", bytes("z"), 0));
    equal(null == zk.exists("/nothing", false), true, "exists");
    fails(KeeperException.Code.NONODE, () -> zk.getData("/nothing", false, null));
    fails(KeeperException.Code.NODEEXISTS, () -> make(zk, "/api"));
    String sequential =
        zk.create("/api/s-", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL, stat);
    equal("/api/s-0000000000", sequential, "sequential name");
    equal(0, stat.getDataLength(), "null data");
    zk.create("/api/e", bytes(""), Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
    equal(zk.getSessionId(), zk.exists("/api/e", false).getEphemeralOwner(), "owner");
    equal(List.of("/api/e"), zk.getEphemerals(), "ephemerals");
    zk.create("/api/c", bytes(""), Ids.OPEN_ACL_UNSAFE, CreateMode.CONTAINER);
    zk.create("/api/t", bytes(""), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, stat, 60_000);
    List<String> children = new ArrayList<>(zk.getChildren("/api", false, stat));
    Collections.sort(children);
    equal(List.of("c", "e", "s-0000000000", "t"), children, "children");
    equal(4, zk.getAllChildrenNumber("/api"), "all children");
    fails(KeeperException.Code.NOTEMPTY, () -> zk.delete("/api", -1));
    fails(KeeperException.Code.NOCHILDRENFOREPHEMERALS, () -> make(zk, "/api/e/x"));
    zk.setACL("/api", Ids.READ_ACL_UNSAFE, 0);
    equal(Ids.READ_ACL_UNSAFE, zk.getACL("/api", stat), "acl");
    fails(KeeperException.Code.NOAUTH, () -> make(zk, "/api/no"));
    fails(KeeperException.Code.INVALIDACL, () -> zk.setACL("/api/c", List.of(), -1));
    that(zk.whoAmI().stream().anyMatch(info -> info.getAuthScheme().equals("ip")), "whoAmI");
    zk.sync("/api", (code, path, context) -> {}, null);
    fails(KeeperException.Code.NOAUTH, () -> zk.delete("/api/t", 0));
    zk.close();
  }

  static void multi(String servers) throws Exception {
    ZooKeeper zk = connect(servers, new Events());
    List<OpResult> results =
        zk.multi(
            List.of(
                Op.create("/m", bytes("a"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
                Op.create("/m/c", bytes("b"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL),
                Op.setData("/m", bytes("c"), 0),
                Op.check("/m", 1),
                Op.delete("/m/c0000000000", 0)));
    equal(5, results.size(), "results");
    equal("/m/c0000000000", ((OpResult.CreateResult) results.get(1)).getPath(), "path");
    equal(1, ((OpResult.SetDataResult) results.get(2)).getStat().getVersion(), "version");
    try {
      zk.multi(List.of(Op.setData("/m", bytes("d"), 1), Op.delete("/none", -1), Op.check("/m", 1)));
      throw new AssertionError("no error");
    } catch (KeeperException error) {
      equal(KeeperException.Code.NONODE, error.code(), "code");
      List<Integer> codes = new ArrayList<>();
      error.getResults().forEach(r -> codes.add(((OpResult.ErrorResult) r).getErr()));
      equal(List.of(0, -101, -2), codes, "codes of the parts");
    }
    equal("c", new String(zk.getData("/m", false, null)), "nothing of a failed multi");
    List<OpResult> reads =
        zk.multi(List.of(Op.getData("/m"), Op.getChildren("/m"), Op.getData("/none")));
    equal("c", new String(((OpResult.GetDataResult) reads.get(0)).getData()), "multiRead");
    equal(-101, ((OpResult.ErrorResult) reads.get(2)).getErr(), "multiRead error");
    zk.close();
  }

  static void standardWatches(String servers) throws Exception {
    Events events = new Events();
    ZooKeeper zk = connect(servers, events);
    zk.exists("/w", true);
    make(zk, "/w");
    events.expect(EventType.NodeCreated, "/w");
    zk.getData("/w", true, null);
    zk.getChildren("/w", true);
    zk.setData("/w", bytes("1"), -1);
    events.expect(EventType.NodeDataChanged, "/w");
    zk.setData("/w", bytes("2"), -1);
    events.expectNothing();
    make(zk, "/w/c");
    events.expect(EventType.NodeChildrenChanged, "/w");
    zk.getData("/w/c", true, null);
    zk.delete("/w/c", -1);
    events.expect(EventType.NodeDeleted, "/w/c");
    events.expectNothing();
    zk.close();
  }

  static void persistentWatches(String servers) throws Exception {
    Events events = new Events();
    ZooKeeper zk = connect(servers, events);
    make(zk, "/p");
    zk.addWatch("/p", events, AddWatchMode.PERSISTENT_RECURSIVE);
    for (int i = 0; i < 3; i++) {
      make(zk, "/p/c");
      events.expect(EventType.NodeCreated, "/p/c");
      make(zk, "/p/c/d");
      events.expect(EventType.NodeCreated, "/p/c/d");
      zk.delete("/p/c/d", -1);
      events.expect(EventType.NodeDeleted, "/p/c/d");
      zk.delete("/p/c", -1);
      events.expect(EventType.NodeDeleted, "/p/c");
    }
    zk.removeWatches("/p", events, Watcher.WatcherType.PersistentRecursive, false);
    WatchedEvent removed = events.queue.poll(5, TimeUnit.SECONDS);
    equal(EventType.PersistentWatchRemoved, removed.getType(), "removed");
    make(zk, "/p/c");
    events.expectNothing();
    zk.addWatch("/p", events, AddWatchMode.PERSISTENT);
    zk.delete("/p/c", -1);
    events.expect(EventType.NodeChildrenChanged, "/p");
    zk.setData("/p", bytes("z"), -1);
    events.expect(EventType.NodeDataChanged, "/p");
    fails(
        KeeperException.Code.NOWATCHER,
        () -> zk.removeWatches("/other", events, Watcher.WatcherType.Any, false));
    zk.close();
  }

  static void digestAuth(String servers) throws Exception {
    ZooKeeper owner = connect(servers, new Events());
    owner.addAuthInfo("digest", bytes("ann:secret"));
    owner.create("/d", bytes("x"), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
    Id id = new Id("digest", DigestAuthenticationProvider.generateDigest("ann:secret"));
    equal(List.of(new ACL(Perms.ALL, id)), owner.getACL("/d", new Stat()), "acl");
    ZooKeeper stranger = connect(servers, new Events());
    fails(KeeperException.Code.NOAUTH, () -> stranger.getData("/d", false, null));
    fails(KeeperException.Code.NOAUTH, () -> stranger.setData("/d", bytes("y"), -1));
    stranger.addAuthInfo("digest", bytes("ann:secret"));
    equal("x", new String(stranger.getData("/d", false, null)), "data with the password");
    owner.close();
    stranger.close();
  }

  static void sasl(String servers) throws Exception {
    ZooKeeper zk = connect(servers, new Events());
    zk.create("/sasl", bytes("x"), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
    equal(
        List.of(new ACL(Perms.ALL, new Id("sasl", "bob"))), zk.getACL("/sasl", new Stat()), "acl");
    zk.close();
  }

  static void pipelining(String servers) throws Exception {
    ZooKeeper zk = connect(servers, new Events());
    make(zk, "/pipe");
    int count = 20_000;
    AtomicInteger next = new AtomicInteger();
    CountDownLatch done = new CountDownLatch(count);
    List<String> wrong = Collections.synchronizedList(new ArrayList<>());
    for (int i = 0; i < count; i++) {
      int mine = i;
      zk.setData(
          "/pipe",
          bytes(String.valueOf(i)),
          -1,
          (code, path, context, stat) -> {
            if (next.getAndIncrement() != mine || code != 0 || stat.getVersion() != mine + 1) {
              wrong.add(mine + ": " + code);
            }
            done.countDown();
          },
          null);
    }
    that(done.await(60, TimeUnit.SECONDS), "not all answered");
    that(wrong.isEmpty(), "out of order: " + wrong);
    zk.close();
  }

  static void reconnect(String servers) throws Exception {
    Events events = new Events();
    ZooKeeper zk = new ZooKeeper(servers, 20_000, events);
    that(events.connected.await(10, TimeUnit.SECONDS), "not connected");
    make(zk, "/r");
    zk.create("/r/e", bytes("x"), Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
    zk.getData("/r", true, null);
    zk.getChildren("/r", true);
    zk.addWatch("/r", events, AddWatchMode.PERSISTENT_RECURSIVE);
    long session = zk.getSessionId();
    Checks.yourTurn();
    for (int attempt = 0; ; attempt++) {
      try {
        zk.setData("/r", bytes("after"), -1);
        break;
      } catch (KeeperException.ConnectionLossException error) {
        that(attempt < 100, "no connection again");
        Thread.sleep(100);
      }
    }
    equal(session, zk.getSessionId(), "the session lives");
    events.expect(EventType.NodeDataChanged, "/r");
    that(zk.exists("/r/e", false) != null, "the ephemeral lives");
    make(zk, "/r/new");
    List<String> seen = new ArrayList<>();
    for (int i = 0; i < 2; i++) {
      WatchedEvent event = events.queue.poll(5, TimeUnit.SECONDS);
      that(event != null, "events after the reconnect: " + seen);
      seen.add(event.getType() + " " + event.getPath());
    }
    Collections.sort(seen);
    equal(Arrays.asList("NodeChildrenChanged /r", "NodeCreated /r/new"), seen, "events");
    zk.close();
  }

  public static void main(String[] arguments) throws Exception {
    Checks checks = new Checks();
    checks.add("whole-api", ClientChecks::wholeApi);
    checks.add("multi", ClientChecks::multi);
    checks.add("standard-watches", ClientChecks::standardWatches);
    checks.add("persistent-watches", ClientChecks::persistentWatches);
    checks.add("digest-auth", ClientChecks::digestAuth);
    checks.add("sasl", ClientChecks::sasl);
    checks.add("pipelining", ClientChecks::pipelining);
    checks.add("reconnect", ClientChecks::reconnect);
    checks.main(arguments);
  }
}
