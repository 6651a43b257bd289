"""What Daphne serves: static files, websockets, and the pages in a small pool of threads.

Pages are synchronous and run as WSGI: through Django's ASGI handler the same page costs three
times as much (a thread and a database connection a request).
"""

import os
from typing import Any, cast

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")

from a2wsgi import WSGIMiddleware
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from channels.sessions import SessionMiddlewareStack
from django.conf import settings
from django.urls import path
from servestatic import ServeStaticASGI

from console.ending import limit_the_end
from console.wsgi import application as pages
from tenants import presence

limit_the_end()
presence.hold()  # a restore does not replace the database under our feet

PAGE_THREADS = 4

from console.figures_live import FiguresConsumer  # these need the applications that wsgi has loaded
from console.live import LiveConsumer
from console.origin import SameOriginValidator
from console.parts_live import PartsConsumer


async def not_here(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """A websocket to an address that has none."""
    await receive()
    await send({"type": "websocket.close", "code": 4404})


router = ProtocolTypeRouter(
    {
        "http": WSGIMiddleware(cast(Any, pages), workers=PAGE_THREADS),
        "websocket": AllowedHostsOriginValidator(
            SameOriginValidator(
                SessionMiddlewareStack(
                    URLRouter(
                        [
                            path("live/figures", FiguresConsumer.as_asgi()),
                            path("live/parts", PartsConsumer.as_asgi()),
                            path("live", LiveConsumer.as_asgi()),
                            path("live/tenants/<slug>", LiveConsumer.as_asgi()),
                            path("live/ensembles/<ensemble>", LiveConsumer.as_asgi()),
                            path("<path:_>", cast(Any, not_here)),
                        ]
                    )
                )
            )
        ),
    }
)

application = ServeStaticASGI(router, root=str(settings.STATIC_ROOT), prefix=settings.STATIC_URL)
