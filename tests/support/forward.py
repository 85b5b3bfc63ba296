"""A TCP forwarder: ``python forward.py LISTEN-ADDRESS TO-ADDRESS PORT ...``; prints a line when it listens."""

import asyncio
import contextlib
import sys

BLOCK = 262_144


async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(BLOCK):
            target.write(data)
            await target.drain()
    target.close()


async def main() -> None:
    listen, to, *ports = sys.argv[1:]

    def to_port(port: str) -> object:
        async def forward(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            try:
                other_source, other_target = await asyncio.open_connection(to, int(port))
            except OSError:
                target.close()
                return
            await asyncio.gather(copy(source, other_target), copy(other_source, target))

        return forward

    for port in ports:
        await asyncio.start_server(to_port(port), listen, int(port))  # type: ignore[arg-type]
    print("listening", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
