"""The programs that a new credential's page hands out: each whole, as the file that it is kept in.

Each connects, writes, reads, prints and ends, in bounded time also where the credential is not
taken. The secret comes from the environment, as files are kept and shared; only JAAS knows no such
way. `tests/console/plane/test_programs.py` takes them from the page and runs them as they stand.
"""

from dataclasses import dataclass, replace
from typing import Final

from ensemble.client.hosts import parse_hosts

VARIABLE: Final = "ENSEMBLE_CREDENTIAL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One file, what has to be there, and the line that runs it."""

    title: str
    file: str
    needs: str
    run: str
    text: str


KAZOO: Final = Program(
    title="Python (kazoo)",
    file="hello.py",
    needs="pip install kazoo",
    run="python3 hello.py",
    text="""\
import os
from kazoo.client import KazooClient

credential = os.environ["ENSEMBLE_CREDENTIAL"]
zk = KazooClient("@HOSTS@", auth_data=[("tenant", credential)])
zk.start(timeout=10)
try:
    zk.ensure_path("/hello")
    zk.set("/hello", b"world")
    print(zk.get("/hello")[0].decode())
    print(sorted(zk.get_children("/")))
finally:
    zk.stop()
    zk.close()
""",
)
CURATOR: Final = Program(
    title="Java (Curator)",
    file="HelloCurator.java",
    needs="org.apache.curator:curator-framework:5.7.1 and what it depends on, as jars in lib/",
    run="java -cp 'lib/*' HelloCurator.java",
    text="""\
import static java.nio.charset.StandardCharsets.UTF_8;

import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.retry.ExponentialBackoffRetry;

public class HelloCurator {
  public static void main(String[] arguments) throws Exception {
    byte[] credential = System.getenv("ENSEMBLE_CREDENTIAL").getBytes(UTF_8);
    try (CuratorFramework client = CuratorFrameworkFactory.builder()
        .connectString("@HOSTS@")
        .authorization("tenant", credential)
        .connectionTimeoutMs(5_000)
        .retryPolicy(new ExponentialBackoffRetry(200, 3))
        .build()) {
      client.start();
      client.create().orSetData().forPath("/hello", "world".getBytes(UTF_8));
      System.out.println(new String(client.getData().forPath("/hello"), UTF_8));
      System.out.println(client.getChildren().forPath("/"));
    }
  }
}
""",
)
JAVA: Final = Program(
    title="Java (ZooKeeper)",
    file="Hello.java",
    needs="org.apache.zookeeper:zookeeper:3.9.3 and what it depends on, as jars in lib/",
    run="java -cp 'lib/*' Hello.java",
    text="""\
import static java.nio.charset.StandardCharsets.UTF_8;

import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;

public class Hello {
  public static void main(String[] arguments) throws Exception {
    byte[] credential = System.getenv("ENSEMBLE_CREDENTIAL").getBytes(UTF_8);
    try (ZooKeeper zk = new ZooKeeper("@HOSTS@", 30_000, event -> {})) {
      zk.addAuthInfo("tenant", credential);
      if (zk.exists("/hello", false) == null) {
        zk.create("/hello", new byte[0], Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
      }
      zk.setData("/hello", "world".getBytes(UTF_8), -1);
      System.out.println(new String(zk.getData("/hello", false, null), UTF_8));
      System.out.println(zk.getChildren("/", false));
    }
  }
}
""",
)
CLI: Final = Program(
    title="zkCli.sh",
    file="hello.sh",
    needs="ZooKeeper's bin/ on the PATH",
    run="sh hello.sh",
    text="""\
zkCli.sh -server @HOSTS@ <<END
addauth tenant ${ENSEMBLE_CREDENTIAL:?}
create /hello
set /hello world
get /hello
ls /
quit
END
""",
)
GO: Final = Program(
    title="Go (go-zookeeper)",
    file="hello.go",
    needs="go mod init hello && go get github.com/go-zookeeper/zk",
    run="go run hello.go",
    text="""\
package main

import (
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

func main() {
	conn, _, err := zk.Connect(strings.Split("@HOSTS@", ","), 30*time.Second)
	check(err)
	defer conn.Close()
	check(conn.AddAuth("tenant", []byte(os.Getenv("ENSEMBLE_CREDENTIAL"))))
	if _, err = conn.Create("/hello", nil, 0, zk.WorldACL(zk.PermAll)); err != zk.ErrNodeExists {
		check(err)
	}
	_, err = conn.Set("/hello", []byte("world"), -1)
	check(err)
	data, _, err := conn.Get("/hello")
	check(err)
	names, _, err := conn.Children("/")
	check(err)
	fmt.Println(string(data))
	fmt.Println(names)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
""",
)
C: Final = Program(
    title="C",
    file="hello.c",
    needs="apt-get install gcc libc6-dev libzookeeper-mt-dev",
    run="cc -DTHREADED hello.c -lzookeeper_mt -o hello && ./hello",
    text="""\
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zookeeper/zookeeper.h>

static void check(int rc) {
    if (rc != ZOK && rc != ZNODEEXISTS) {
        fprintf(stderr, "%s: are servers and credential right?\\n", zerror(rc));
        exit(1);
    }
}

int main(void) {
    const char *credential = getenv("ENSEMBLE_CREDENTIAL");
    zoo_set_debug_level(ZOO_LOG_LEVEL_WARN);
    zhandle_t *zk = zookeeper_init("@HOSTS@", NULL, 30000, NULL, NULL, 0);
    if (zk == NULL || credential == NULL)
        check(ZBADARGUMENTS);
    char data[100];
    int size = sizeof data;
    struct String_vector names;
    check(zoo_add_auth(zk, "tenant", credential, strlen(credential), NULL, NULL));
    check(zoo_create(zk, "/hello", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0));
    check(zoo_set(zk, "/hello", "world", 5, -1));
    check(zoo_get(zk, "/hello", 0, data, &size, NULL));
    printf("%.*s\\n", size, data);
    check(zoo_get_children(zk, "/", 0, &names));
    for (int i = 0; i < names.count; i++)
        printf("%s\\n", names.data[i]);
    deallocate_String_vector(&names);
    return zookeeper_close(zk);
}
""",
)
KAZOO_SASL: Final = Program(
    title="Python by SASL",
    file="hello_sasl.py",
    needs="pip install 'kazoo[sasl]'",
    run="python3 hello_sasl.py",
    text="""\
import os
from kazoo.client import KazooClient

password = os.environ["ENSEMBLE_CREDENTIAL"].partition(":")[2]
sasl = {"mechanism": "DIGEST-MD5", "username": "@USER@", "password": password}
zk = KazooClient("@HOSTS@", sasl_options=sasl)
zk.start(timeout=10)
try:
    zk.ensure_path("/hello")
    zk.set("/hello", b"world")
    print(zk.get("/hello")[0].decode())
    print(sorted(zk.get_children("/")))
finally:
    zk.stop()
    zk.close()
""",
)
JAAS: Final = Program(
    title="Java by SASL (no code: a JAAS file)",
    file="jaas.conf",
    needs="ZooKeeper's bin/ on the PATH; any Java program takes the same flag",
    run="JVMFLAGS=-Djava.security.auth.login.config=jaas.conf zkCli.sh -server @HOSTS@ ls /",
    text="""\
Client {
  org.apache.zookeeper.server.auth.DigestLoginModule required
  username="@USER@"
  password="@PASSWORD@";
};
""",
)
BY_TOKEN: Final = (KAZOO, CURATOR, JAVA, CLI, GO, C)
BY_SASL: Final = (KAZOO_SASL, JAAS)


def programs(hosts: str, user: str, password: str, *, sasl: bool) -> list[Program]:
    """All of them, for these servers and this credential. `sasl`: it may come by SASL, too."""
    # Go splits at commas and wants a port; a blank would end an argument of the shell.
    servers = ",".join(str(host) for host in parse_hosts(hosts)[0])
    values = {"@HOSTS@": servers, "@USER@": user, "@PASSWORD@": password}

    def filled(text: str) -> str:
        for mark, value in values.items():
            text = text.replace(mark, value)
        return text

    kept = BY_TOKEN + BY_SASL if sasl else BY_TOKEN
    return [replace(one, run=filled(one.run), text=filled(one.text)) for one in kept]
