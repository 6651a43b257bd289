"""The floor: the same event loop and the same sockets, with nothing done but sending back.

What a server on this loop cannot beat, whatever it does with a request.
"""

import asyncio
import contextlib
import select
import socket
import sys


def main() -> None:
    with contextlib.suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(serve(int(sys.argv[1])))


async def serve(port: int) -> None:
    """One epoll for all sockets inside the loop's own, as in `ensemble.server.client_port`."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(1_024)
    listener.setblocking(False)
    poll = select.epoll()
    poll.register(listener.fileno(), select.EPOLLIN)
    sockets: dict[int, socket.socket] = {}

    def turn() -> None:
        for fd, _ in poll.poll(0, 1_024):
            sock = sockets.get(fd)
            if sock is None:
                with contextlib.suppress(BlockingIOError):
                    accepted, _ = listener.accept()
                    accepted.setblocking(False)
                    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    sockets[accepted.fileno()] = accepted
                    poll.register(accepted.fileno(), select.EPOLLIN)
                continue
            try:
                data = sock.recv(65_536)
                sock.send(data)
            except OSError:  # the generator ends without saying goodbye
                data = b""
            if not data:
                poll.unregister(fd)
                del sockets[fd]
                sock.close()

    asyncio.get_running_loop().add_reader(poll.fileno(), turn)
    await asyncio.Event().wait()


if __name__ == "__main__":
    main()
