package ensemble;

import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Named checks: `java ensemble.ClientChecks <name>[,<name>...] <host:port>` runs them and prints
 * `ok <name>` behind each.
 */
final class Checks {
  interface Check {
    void run(String servers) throws Exception;
  }

  private final Map<String, Check> checks = new LinkedHashMap<>();

  void add(String name, Check check) {
    checks.put(name, check);
  }

  void main(String[] arguments) throws Exception {
    if (arguments.length == 0) {
      checks.keySet().forEach(System.out::println);
      return;
    }
    for (String name : arguments[0].split(",")) {
      checks.get(name).run(arguments[1]);
      System.out.println("ok " + name);
    }
    System.exit(0);
  }

  static void that(boolean holds, String what) {
    if (!holds) {
      throw new AssertionError(what);
    }
  }

  static void equal(Object wanted, Object found, String what) {
    that(wanted.equals(found), what + ": wanted " + wanted + ", found " + found);
  }

  /** Tell the test that it is its turn (to restart the server), and wait until it is done. */
  static void yourTurn() throws Exception {
    System.out.println("your turn");
    System.out.flush();
    that(System.in.read() >= 0, "the test went away");
  }
}
