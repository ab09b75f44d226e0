// The benchmark's minimal bot on discord.js and better-sqlite3. It does nothing but read a permission, defer, write a row,
// trigger and edit, and takes the same settings from the environment as Slipway. Like Slipway it defers before it writes:
// the other order would make its acknowledgement wait for the disk.
"use strict";

const Database = require("better-sqlite3");
const { Client, Events } = require("discord.js");

const { DISCORD_TOKEN, DISCORD_API_URL, CIRCLECI_URL, CIRCLE_API_USER_TOKEN, DATABASE_URL } = process.env;

const db = new Database(DATABASE_URL.replace("sqlite://", ""));
// As safe as Slipway's: what was committed is on the disk.
db.pragma("journal_mode = WAL");
db.pragma("synchronous = FULL");
db.exec(`
  CREATE TABLE IF NOT EXISTS permission (user_id TEXT PRIMARY KEY);
  CREATE TABLE IF NOT EXISTS deploy (
    id INTEGER PRIMARY KEY, interaction TEXT UNIQUE, user_id TEXT, repo TEXT, branch TEXT, at INTEGER);
`);
const permission = db.prepare("SELECT 1 FROM permission WHERE user_id = ?");
const record = db.prepare("INSERT INTO deploy (interaction, user_id, repo, branch, at) VALUES (?, ?, ?, ?, ?)");

const client = new Client({
  intents: [],
  allowedMentions: { parse: [] },
  // Discord exempts interactions from the global limit of 50 a second, but this library counts their edits.
  rest: { api: `${DISCORD_API_URL}/api`, globalRequestsPerSecond: 100_000 },
});

async function trigger(repo, branch) {
  const answer = await fetch(`${CIRCLECI_URL}/api/v2/project/gh/${repo}/pipeline/run`, {
    method: "POST",
    headers: { "Circle-Token": CIRCLE_API_USER_TOKEN, "Content-Type": "application/json", Accept: "application/json" },
    body: JSON.stringify({ config: { branch }, checkout: { branch } }),
  });
  const pipeline = await answer.json();
  if (answer.status !== 201) throw new Error(`CircleCI answered ${answer.status}`);
  return pipeline.number;
}

client.on(Events.InteractionCreate, async (interaction) => {
  try {
    if (!permission.get(interaction.user.id)) {
      await interaction.reply({ content: "You may not deploy.", ephemeral: true });
      return;
    }
    await interaction.deferReply();
    const repo = interaction.options.getString("repo");
    const branch = interaction.options.getString("branch");
    record.run(interaction.id, interaction.user.id, repo, branch, Date.now());
    const number = await trigger(repo, branch);
    await interaction.editReply({ content: `Deploying ${repo} ${branch}: pipeline ${number}` });
  } catch (error) {
    console.error(error);
  }
});

client.login(DISCORD_TOKEN);
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => client.destroy().then(() => process.exit(0)));
