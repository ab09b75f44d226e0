"""The benchmark's minimal bot on discord.py and aiosqlite.

It does nothing but read a permission, defer, write a row, trigger and edit, and takes the same settings from the
environment as Slipway. Like Slipway it defers before it writes: the other order would make its acknowledgement wait for
the disk.
"""

import asyncio
import logging
import os
import signal
import time

import aiohttp
import aiosqlite
import discord
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

CIRCLECI = os.environ["CIRCLECI_URL"]
CIRCLECI_HEADERS = {"Circle-Token": os.environ["CIRCLE_API_USER_TOKEN"], "Accept": "application/json"}
DATABASE = os.environ["DATABASE_URL"].removeprefix("sqlite://")
SCHEMA = """
CREATE TABLE IF NOT EXISTS permission (user_id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS deploy (
    id INTEGER PRIMARY KEY, interaction TEXT UNIQUE, user_id TEXT, repo TEXT, branch TEXT, at INTEGER);
"""

Route.BASE = f"{os.environ['DISCORD_API_URL']}/api/v10"


class Peer(discord.Client):
    async def setup_hook(self):
        self.db = await aiosqlite.connect(DATABASE)
        # As safe as Slipway's: what was committed is on the disk.
        await self.db.execute("PRAGMA journal_mode = WAL")
        await self.db.execute("PRAGMA synchronous = FULL")
        await self.db.executescript(SCHEMA)
        self.circleci = aiohttp.ClientSession(headers=CIRCLECI_HEADERS)
        # The library takes Discord's own gateway whatever the API says.
        _, url, _ = await self.http.get_bot_gateway()
        DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(url)

    async def on_interaction(self, interaction):
        user = str(interaction.user.id)
        async with self.db.execute("SELECT 1 FROM permission WHERE user_id = ?", (user,)) as rows:
            allowed = await rows.fetchone()
        if not allowed:
            await interaction.response.send_message("You may not deploy.", ephemeral=True)
            return
        await interaction.response.defer(thinking=True)
        options = {option["name"]: option["value"] for option in interaction.data["options"]}
        repo, branch = options["repo"], options["branch"]
        await self.db.execute(
            "INSERT INTO deploy (interaction, user_id, repo, branch, at) VALUES (?, ?, ?, ?, ?)",
            (str(interaction.id), user, repo, branch, int(time.time() * 1000)),
        )
        await self.db.commit()
        number = await self.trigger(repo, branch)
        await interaction.edit_original_response(
            content=f"Deploying {repo} {branch}: pipeline {number}", allowed_mentions=discord.AllowedMentions.none()
        )

    async def trigger(self, repo, branch):
        url = f"{CIRCLECI}/api/v2/project/gh/{repo}/pipeline/run"
        body = {"config": {"branch": branch}, "checkout": {"branch": branch}}
        async with self.circleci.post(url, json=body) as answer:
            if answer.status != 201:
                raise RuntimeError(f"CircleCI answered {answer.status}")
            return (await answer.json())["number"]

    async def close(self):
        await super().close()
        await self.circleci.close()
        await self.db.close()


async def main():
    discord.utils.setup_logging(level=logging.WARNING)
    bot = Peer(intents=discord.Intents.none(), allowed_mentions=discord.AllowedMentions.none())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, lambda: asyncio.ensure_future(bot.close()))
    async with bot:
        await bot.start(os.environ["DISCORD_TOKEN"])


asyncio.run(main())
