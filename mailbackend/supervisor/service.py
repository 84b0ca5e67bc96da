"""The loop that keeps one Dovecot running, one event at a time. Signals and the control socket only queue."""

from __future__ import annotations

import asyncio
import datetime
import logging
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass

from mailbackend.config import MailConfig
from mailbackend.dovecot.logs import Trouble
from mailbackend.dovecot.render import Identity
from mailbackend.paths import DataDir
from mailbackend.supervisor import generations, history, process, segments
from mailbackend.supervisor.control import Status
from mailbackend.supervisor.generations import CURRENT, LAST_GOOD, Generation
from mailbackend.supervisor.history import History
from mailbackend.supervisor.process import Problem, Programs
from mailbackend.supervisor.report import LogUse, Report
from mailbackend.supervisor.states import State, checked_move
from mailbackend.supervisor.watch import LogWatch

log = logging.getLogger("mail")

#: Seconds before the next try: the first, doubling up to the longest, anew after Dovecot ran for a while.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
PAUSE_FORGIVEN_AFTER = 60.0
#: Seconds until what only a person can mend is looked at again; until a missing configuration is.
RECHECK = 10.0
RECHECK_ABSENT = 1.0
#: Seconds in which Dovecot must be ready, and must have taken a new configuration.
READY_WITHIN = 10.0
RELOADED_WITHIN = 6.0
#: Seconds in which a command is answered.
ANSWER_WITHIN = 15.0
#: Seconds between two looks at what a running Dovecot stands on.
LOOK_EVERY = 1.0
_POLL = 0.1
#: What a report holds of the history.
_HISTORY_SHOWN = 15


@dataclass(frozen=True)
class Setup:
    """What the supervisor was started with.

    Attributes:
        data: the layout of DATA_DIR.
        identity: who Dovecot's processes are.
        owner: uid and gid of the account that owns the mail.
        dovecot_bin: DOVECOT_BIN, or empty.
        environment: the environment of this process.
    """

    data: DataDir
    identity: Identity
    owner: tuple[int, int]
    dovecot_bin: str
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Asked:
    """A command from the control socket; `answer` gets None, or why it was not done."""

    command: str
    answer: asyncio.Future[str | None]


@dataclass(frozen=True)
class Exited:
    """A Dovecot has ended."""

    child: asyncio.subprocess.Process


@dataclass(frozen=True)
class Quit:
    """The supervisor itself is to end."""


@dataclass(frozen=True)
class Look:
    """It is time to look at what a running Dovecot stands on."""


Event = Asked | Exited | Quit | Look


def next_pause(pause: float) -> float:
    """Return the pause after `pause`, in seconds."""
    return min(pause * 2, LONGEST_PAUSE)


class MailService:
    """One Dovecot, supervised."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._data = setup.data
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        #: Set when whoever waits for Dovecot to be ready should stop waiting.
        self._interrupt = asyncio.Event()
        self._state = State.STOPPED
        self._child: asyncio.subprocess.Process | None = None
        self._programs: Programs | None = None
        self._generation: Generation | None = None
        self._since: datetime.datetime | None = None
        self._running_since = 0.0
        self._pause = FIRST_PAUSE
        self._wake_at: float | None = None
        self._error: str | None = None
        self._restarts = 0
        self._last_exit: str | None = None
        self._watchers: set[asyncio.Task[None]] = set()
        self._history = History(setup.data.dovecot / "history.json")
        self._watch_log = LogWatch(setup.data)
        self._log_error: str | None = None
        self._look_queued = False
        self._started = datetime.datetime.now(datetime.UTC)

    # --- from outside the loop

    def quit(self) -> None:
        """Queue the end. Safe in a signal handler of the event loop."""
        self._interrupt.set()
        self._events.put_nowait(Quit())

    def hang_up(self) -> None:
        """Queue a reload, as daemons do on SIGHUP."""
        self._events.put_nowait(Asked("reload", asyncio.get_running_loop().create_future()))

    def status(self) -> Status:
        """Return the state of things at this moment."""
        return Status(
            state=self._state.value,
            pid=self._child.pid if self._child else None,
            since=self._since.isoformat(timespec="seconds") if self._since else None,
            version=self._programs.version if self._programs else None,
            error=self._error,
            restarts=self._restarts,
            last_exit=self._last_exit,
        )

    def report(self) -> Report:
        """Return all that the service's page shows."""
        generation = self._generation
        found = segments.list_segments(self._data)
        return Report(
            supervisor_pid=os.getpid(),
            supervisor_since=self._started.isoformat(timespec="seconds"),
            listeners=process.listeners(generation.config) if generation else [],
            certificate=generations.read_certificate(generation) if generation else None,
            history=self._history.newest(_HISTORY_SHOWN),
            troubles=self._watch_log.newest(),
            log=LogUse(
                segments=len(found),
                used_bytes=sum(segment.size for segment in found),
                free_bytes=segments.free_bytes(self._data),
            ),
        )

    async def handle(self, command: str, wait: bool) -> tuple[str | None, Status]:
        """Queue a command that changes something.

        Args:
            command: start, stop, restart or reload.
            wait: whether to return only when it is done, or ANSWER_WITHIN is over.

        Returns:
            why it was not done, or None; and the status then.
        """
        answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        if command == "stop":
            self._interrupt.set()
        self._events.put_nowait(Asked(command, answer))
        if not wait:
            return None, self.status()
        try:
            refusal = await asyncio.wait_for(asyncio.shield(answer), ANSWER_WITHIN)
        except TimeoutError:
            refusal = (
                f"{command} takes longer than {ANSWER_WITHIN:.0f} seconds: ask for the status in a moment."
            )
        return refusal, self.status()

    # --- the loop

    async def run(self) -> None:
        """Keep Dovecot running until `quit`."""
        await self._end_orphans()
        looking = asyncio.create_task(self._queue_looks())
        await self._begin()
        while True:
            event = await self._next_event()
            if isinstance(event, Quit):
                break
            if event is None:
                await self._begin()
            elif isinstance(event, Exited):
                await self._exited(event.child)
            elif isinstance(event, Look):
                await self._look()
            else:
                await self._asked(event)
        looking.cancel()
        if self._state is State.RUNNING:
            self._history.add(history.SHUT_DOWN)
        await self._halt()
        process.end_run(self._data)

    async def _queue_looks(self) -> None:
        """Queue a look from time to time, one at most."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if not self._look_queued:
                self._look_queued = True
                self._events.put_nowait(Look())

    async def _next_event(self) -> Event | None:
        """Return the next event, or None when the pause is over."""
        if self._wake_at is None:
            return await self._events.get()
        wait = self._wake_at - asyncio.get_running_loop().time()
        try:
            return await asyncio.wait_for(self._events.get(), max(wait, 0))
        except TimeoutError:
            return None

    async def _asked(self, asked: Asked) -> None:
        action = {
            "start": self._start,
            "stop": self._stop,
            "restart": self._restart,
            "reload": self._reload,
        }[asked.command]
        refusal = await action()
        if refusal:
            log.info("%s refused: %s", asked.command, refusal)
        if not asked.answer.done():
            asked.answer.set_result(refusal)

    async def _start(self) -> str | None:
        if self._state is not State.RUNNING:
            self._pause = FIRST_PAUSE
            await self._begin()
        return None if self._state is State.RUNNING else self._error or "It was stopped again meanwhile."

    async def _stop(self) -> str | None:
        self._interrupt.clear()
        if self._state is not State.STOPPED:
            self._history.add(history.STOPPED)
        await self._halt()
        self._error = None
        return None

    async def _restart(self) -> str | None:
        if self._state is State.RUNNING:
            try:
                await asyncio.to_thread(self._build, self._generation)
            except Problem as problem:
                return self._refuse_reload(f"Not restarted, what runs goes on: {problem}")
            self._history.add(history.RESTARTED)
            await self._halt()
        return await self._start()

    async def _reload(self) -> str | None:
        if self._state is State.STOPPED:
            return "The mail service is stopped: start it, and it takes the new configuration."
        if self._state is not State.RUNNING:
            return await self._start()
        try:
            fresh = await asyncio.to_thread(self._build, self._generation)
        except Problem as problem:
            return self._refuse_reload(str(problem))
        return await self._take(fresh)

    def _refuse_reload(self, reason: str) -> str:
        self._error = f"The new configuration is not in use: {reason}"
        self._history.add(history.RELOAD_REFUSED, reason)
        return reason

    # --- steps

    def _move(self, state: State) -> None:
        self._state = checked_move(self._state, state)

    def _build(self, held: Generation | None) -> Generation:
        """Render and check what the panel has written. `held` runs now: its ports need not be free."""
        programs = self._programs = self._find_programs()
        config = generations.read_config(self._data, {0, os.geteuid(), self._setup.owner[0]})
        generations.check_marker(self._data, config)
        process.check_ports(config, held.config if held else None)
        try:
            return generations.build(self._data, config, programs, self._setup.identity)
        except OSError as err:
            raise Problem(f"{self._data.configurations} cannot be written: {err}.", lasting=False) from err

    def _find_programs(self) -> Programs:
        return process.find_programs(self._setup.dovecot_bin, as_root=self._setup.identity.as_root)

    def _prepare(self) -> tuple[Generation, str | None]:
        """Return what to launch, and what to say about it if it is not what the panel wrote last."""
        programs = self._programs = self._find_programs()
        self._check_log_room()
        try:
            return self._build(None), None
        except Problem as problem:
            good = generations.linked(self._data, LAST_GOOD)
            if not problem.lasting or good is None:
                raise
            generations.check_marker(self._data, good.config)
            self._check_same_mail_root(good.config)
            process.check_ports(good.config)
            try:
                process.validate(programs, good.folder)
            except Problem:
                # It was made for another Dovecot: what keeps the new one from being used is what counts.
                raise problem from None
            return good, f"The last good configuration is in use. {problem}"

    def _check_log_room(self) -> None:
        """Dovecot's master ends when it cannot write its log: on a full disk it is not even started."""
        try:
            self._make_log_room()
            free = segments.free_bytes(self._data)
        except OSError as err:
            raise Problem(f"{self._data.events} cannot be used: {err}.", lasting=False) from err
        if free < segments.LEAST_FREE:
            raise Problem(
                f"The disk that holds {self._data.events} is full, and the mail service must write its log "
                "there: free some space. It starts by itself then.",
                lasting=False,
            )

    def _make_log_room(self) -> None:
        """Remove segments that are stored, and the oldest others when there is too little room."""
        lost = segments.make_room(self._data)
        if lost:
            size = sum(segment.size for segment in lost)
            self._history.add(history.LOG_GIVEN_UP, f"{lost[0].number} {lost[-1].number} {size}")
            log.info("segments %d to %d of the log were removed unread", lost[0].number, lost[-1].number)

    def _check_same_mail_root(self, good: MailConfig) -> None:
        """A new configuration that names another mail root is not answered by serving the old one."""
        try:
            wanted = generations.read_config(self._data, {0, os.geteuid(), self._setup.owner[0]})
        except Problem:
            return
        if wanted.mail_root_id != good.mail_root_id:
            generations.check_marker(self._data, wanted)

    async def _begin(self) -> None:
        """Try to start, from any state in which nothing runs."""
        silent = self._state is State.FATAL
        before = self._error
        self._wake_at = None
        self._move(State.STARTING)
        if not silent:
            log.info("starting")
        try:
            generation, notice = await asyncio.to_thread(self._prepare)
        except Problem as problem:
            self._rest(problem, before)
            return
        failure = await self._launch(generation)
        if failure and not self._interrupt.is_set():
            generation, notice, failure = await self._launch_last_good(generation, failure)
        if self._interrupt.is_set():
            self._move(State.STOPPING)
            await self._end_child()
            self._move(State.STOPPED)
        elif failure:
            self._rest(Problem(failure, lasting=False), before)
        else:
            self._serve(generation, notice)

    async def _launch_last_good(
        self, failed: Generation, failure: str
    ) -> tuple[Generation, str | None, str | None]:
        """What doveconf accepts may still fail. Return what was launched, what to say, and what failed."""
        good = generations.linked(self._data, LAST_GOOD)
        if good is None or good.folder == failed.folder:
            return failed, None, failure
        if await self._launch(good):
            return failed, None, failure
        return good, f"The last good configuration is in use. {failure}", None

    async def _launch(self, generation: Generation) -> str | None:
        """Launch Dovecot and wait until it is ready. Return None, or why not; then nothing of it is left."""
        assert self._programs is not None
        try:
            generations.set_link(self._data, CURRENT, generation)
            segments.continue_or_begin(self._data, self._log_gid())
            since = process.log_size(self._data)
            child = await process.launch(self._programs, self._data, self._setup.environment)
        except OSError as err:
            return f"Dovecot cannot be launched: {err}."
        self._child = child
        watcher = asyncio.create_task(self._watch(child))
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)
        if await self._until(READY_WITHIN, generation.config, child):
            return None
        if child.returncode is not None:
            how = f"Dovecot ended while starting ({process.exit_text(child.returncode)})"
        else:
            how = f"Dovecot was not ready within {READY_WITHIN:.0f} seconds"
        await self._end_child()
        said = await asyncio.to_thread(process.complaints, self._data, since)
        return f"{how}: {said or 'its log says no more'}"

    async def _until(self, seconds: float, config: MailConfig, child: asyncio.subprocess.Process) -> bool:
        """Wait until Dovecot is ready; false if it ended, the time is over, or somebody wants it stopped."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while loop.time() < deadline and child.returncode is None and not self._interrupt.is_set():
            if await asyncio.to_thread(process.is_ready, self._data, config, child.pid):
                return True
            await asyncio.sleep(_POLL)
        return False

    def _log_gid(self) -> int | None:
        """The account's group may read the log; Dovecot would make it for root alone."""
        return self._setup.owner[1] if self._setup.identity.as_root else None

    def _serve(self, generation: Generation, notice: str | None) -> None:
        assert self._child is not None
        self._move(State.RUNNING)
        self._generation = generation
        self._error = notice
        self._since = datetime.datetime.now(datetime.UTC)
        self._running_since = asyncio.get_running_loop().time()
        self._keep_as_good(generation)
        self._history.add(history.STARTED, self._programs.version if self._programs else "")
        log.info("running, pid %d, Dovecot %s", self._child.pid, self.status().version)
        if notice:
            log.info("%s", notice)

    def _keep_as_good(self, generation: Generation) -> None:
        """Remember a configuration that serves. That it cannot be remembered is no reason to end it."""
        try:
            generations.set_link(self._data, LAST_GOOD, generation)
            generations.prune(self._data)
        except OSError as err:
            log.info("%s cannot be written: %s", self._data.configurations, err)

    def _rest(self, problem: Problem, before: str | None) -> None:
        """Wait after a failed start: for a person, or for a while."""
        self._error = str(problem)
        loop = asyncio.get_running_loop()
        if problem.lasting:
            self._move(State.FATAL)
            self._wake_at = loop.time() + (RECHECK_ABSENT if problem.soon else RECHECK)
        else:
            self._move(State.BACKOFF)
            self._wake_at = loop.time() + self._pause
            self._pause = next_pause(self._pause)
        if self._error != before:
            self._history.add(history.FAILED, str(problem))
            log.info("%s: %s", self._state.value, self._error)

    async def _exited(self, child: asyncio.subprocess.Process) -> None:
        """Dovecot ended by itself: clear up after it, and plan the next start."""
        if child is not self._child or self._state is not State.RUNNING:
            return
        how = process.exit_text(await child.wait())
        self._history.add(history.ENDED, str(child.returncode))
        await self._fall(f"Dovecot ended by itself ({how}) and is started again.")

    async def _fall(self, error: str) -> None:
        """End what is left of a running Dovecot, and start it again after the pause."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._running_since >= PAUSE_FORGIVEN_AFTER:
            self._pause = FIRST_PAUSE
        self._restarts += 1
        self._error = error
        self._move(State.BACKOFF)
        await self._end_child()
        self._wake_at = loop.time() + self._pause
        log.info("backoff: %s Next start in %g s", error, self._pause)
        self._pause = next_pause(self._pause)

    async def _look(self) -> None:
        """See whether what a running Dovecot stands on is still there: the mail root, its log, room for it."""
        self._look_queued = False
        if self._state is not State.RUNNING:
            return
        assert self._generation is not None
        try:
            await asyncio.to_thread(generations.check_marker, self._data, self._generation.config)
        except Problem as problem:
            await self._leave_mail_root(problem)
            return
        lost = self._lost_for_good(self._tend_log())
        if lost:
            code, reason = lost
            self._history.add(code)
            await self._fall(reason)

    async def _leave_mail_root(self, problem: Problem) -> None:
        """Without its mail root Dovecot would make new, empty homes in the place of the real ones."""
        self._history.add(history.MAIL_ROOT_GONE, str(problem))
        self._error = str(problem)
        self._move(State.FATAL)
        await self._end_child()
        self._wake_at = asyncio.get_running_loop().time() + RECHECK
        log.info("FATAL: %s", problem)

    def _lost_for_good(self, troubles: list[Trouble]) -> tuple[str, str] | None:
        """Return what happened and in words, if Dovecot lost a process that it replaces in vain.

        Its other processes do not find the new log process. The new anvil knows nothing of the sessions that
        are open, so that none of them can be ended any more. Only the master's own line counts: that such a
        process has ended says nothing, since a reload begins others, and the old ones go with their last session.
        """
        since = self._since
        fresh = [
            trouble
            for trouble in troubles
            if since is not None and datetime.datetime.fromisoformat(trouble.at) >= since
        ]
        if any(trouble.code == "log_killed" for trouble in fresh):
            return history.LOG_KILLED, "Dovecot's log process was killed, so Dovecot is started again."
        if any(trouble.code in ("killed", "crashed") and trouble.service == "anvil" for trouble in fresh):
            return (
                history.ANVIL_KILLED,
                "Dovecot's list of connections (anvil) was lost, so Dovecot is started again.",
            )
        return None

    def _tend_log(self) -> list[Trouble]:
        """Begin a new segment when one is full, and remove what may go. Return what is new in the log."""
        assert self._child is not None
        found: list[Trouble] = []
        try:
            found = self._watch_log.look()
            if segments.is_full(self._data):
                segments.begin(self._data, self._log_gid())
                self._child.send_signal(signal.SIGUSR1)  # dovecot(1): open the log again
            segments.seal(self._data, (self._child.pid, *process.log_processes(self._child.pid)))
            self._make_log_room()
            self._log_error = None
        except OSError as err:
            if str(err) != self._log_error:
                log.info("the log cannot be tended: %s", err)
            self._log_error = str(err)
        return found

    async def _halt(self) -> None:
        """Come to STOPPED from any state in which the loop rests."""
        self._wake_at = None
        if self._state is State.RUNNING:
            self._move(State.STOPPING)
            log.info("stopping")
            await self._end_child()
            self._move(State.STOPPED)
            log.info("stopped")
        elif self._state is not State.STOPPED:
            self._move(State.STOPPED)
            log.info("stopped")

    async def _end_child(self) -> None:
        """End what is left of the Dovecot that was launched last."""
        child, self._child = self._child, None
        self._generation = None
        self._since = None
        if child is None:
            return
        if not await process.end_session(child.pid):
            log.info("processes of session %d could not be ended", child.pid)
        self._last_exit = process.exit_text(await child.wait())
        process.forget_session(self._data)

    async def _take(self, fresh: Generation) -> str | None:
        """Have the running Dovecot take a configuration; go back to the old one if it does not."""
        assert self._child is not None
        assert self._generation is not None
        old = self._generation
        refusal = await self._hand_over(fresh)
        if refusal is None:
            self._generation = fresh
            self._error = None
            self._keep_as_good(fresh)
            self._history.add(history.RELOADED)
            log.info("reloaded")
            return None
        await self._hand_over(old)
        return self._refuse_reload(refusal)

    async def _hand_over(self, generation: Generation) -> str | None:
        assert self._child is not None
        child = self._child
        since = process.log_size(self._data)
        try:
            generations.set_link(self._data, CURRENT, generation)
        except OSError as err:
            return f"{self._data.configurations} cannot be written: {err}."
        if child.returncode is None:
            child.send_signal(signal.SIGHUP)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + RELOADED_WITHIN
        while loop.time() < deadline and child.returncode is None:
            if process.log_has(self._data, since, "SIGHUP received"):
                break
            await asyncio.sleep(_POLL)
        ready = await self._until(max(deadline - loop.time(), 1), generation.config, child)
        said = process.complaints(self._data, since)
        if ready and not said:
            return None
        return f"Dovecot does not take the new configuration: {said or 'it does not answer'}"

    async def _watch(self, child: asyncio.subprocess.Process) -> None:
        await child.wait()
        self._events.put_nowait(Exited(child))

    def _begin_run(self) -> str | None:
        try:
            return process.begin_run(self._data)
        except OSError as err:
            # On a full disk; that it is not noted is no reason to serve no mail.
            log.info("the start of this supervisor is not noted: %s", err)
            return None

    async def _end_orphans(self) -> None:
        """End the Dovecot of a supervisor that was killed, and note that it was."""
        cut_off = self._begin_run()
        orphans = await asyncio.to_thread(process.orphan_sessions, self._data)
        for session in orphans:
            log.info("ending the Dovecot with pid %d, whose supervisor is gone", session)
            await process.end_session(session, process.is_dovecot)
        if orphans or cut_off == "kill":
            self._history.add(history.SUPERVISOR_KILLED, " ".join(map(str, orphans)))
        elif cut_off == "power":
            self._history.add(history.MACHINE_WENT_DOWN)
        process.forget_session(self._data)
