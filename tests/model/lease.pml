/* lease - a model of the ordered queue: the lease with its epoch, take in order, retry under hold, handing back.
 *
 * Modelled, each Redis script as one step: lease.lua (asked for, with the next epoch), take_ordered.lua,
 * settle_ordered.lua (done; failed for good; again: to the front under hold; back), release.lua. NW workers are
 * candidates; the holder has up to two jobs in hand and posts them one after another, the next when the one before was
 * answered 2xx. At any point: DEATHS (what was sent may still run), LAPSES (by its own clock a worker's lease is over: it
 * was stopped, or Redis was slow), CUTS (the connection breaks: what was sent may still run, even after the worker has a
 * new one: CLIENT KILL may be forbidden to it). A restart is another candidate.
 * Abstracted: time, of which only this is kept: a lease that its holder trusts does not run out, and its locks do not
 * before it; producers (all jobs stand in wait); a request arrives when it is sent or never.
 *
 * Holds (assertions; the switch in brackets removes the rule that it hangs on):
 *   place    each job always is in exactly one of wait, active, completed, failed
 *   order    a job's first arrival is not behind a later job's
 *              [BLIND_RETRY        a retry sends back, in one step, what Redis has for us behind the job
 *               PIPELINED_FAILURE  behind a job that failed for good nothing is posted until Redis has noted it
 *               RELEASE_ALONE      what goes back takes along what stands unlocked behind it
 *               ONE_LOST_CODE      "the lease is lost" says nothing about what was sent before]
 *   one      who posts holds the lease and the job, and was the last to be given it
 *              [NO_EPOCH           what was sent under an earlier lease of the same worker is refused
 *               LOOSE_HAND_BACK    so is what it sent back]
 *   fence    who settles a job is the one who got it last
 *   stalls   a job fails for stalling only when workers failed more than MAX_STALLED times
 *   progress every run ends, all jobs completed or failed (ltl ends; and as no invalid end state)
 *              [STRAYS_LEFT        what we have locked and not in hand is taken anew, in its order]
 */
#ifndef NW
#define NW 2
#endif
#ifndef JOBS
#define JOBS 2
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef LAPSES
#define LAPSES 1
#endif
#ifndef CUTS
#define CUTS 1
#endif
#ifndef RETRIES
#define RETRIES 1
#endif
#ifndef FINALS
#define FINALS 1 /* how often a destination refuses for good */
#endif
#ifndef MAX_STALLED
#define MAX_STALLED 1
#endif
#define NOBODY 255

mtype = { ACQUIRE, TAKE, DONE, FAIL, AGAIN, BACK };

/* ---- Redis. Jobs are numbered in the order in which they were sent. */
byte wait[JOBS], n_wait;      /* the next one last */
byte act[JOBS], n_act;        /* active, the oldest first */
bool completed[JOBS], failed[JOBS];
byte lock[JOBS] = NOBODY, lock_epoch[JOBS], stalls[JOBS], tries[JOBS];
byte lease = NOBODY, epoch;   /* the lease's value is both */
byte hold = NOBODY;
bool due;
/* Sent and not yet run by Redis: command, job, epoch, set of jobs that the worker had in hand. */
chan link[NW] = [3] of { mtype, byte, byte, byte };
chan old_link[NW] = [3] of { mtype, byte, byte, byte }; /* of a connection that broke; nobody hears its answers */

/* ---- workers */
typedef slot {
    byte job = NOBODY;
    mtype result;             /* 0: not answered yet */
    bool sent
}
typedef hand {
    slot s[2]                 /* in the order in which they were taken */
}
hand h[NW];
byte knows[NW];               /* the epoch of its lease, 0: none */
byte knew[NW];                /* the last one that it had */
bool asked[NW], asks_lease[NW];
bool leaving[NW];             /* must send back what it dropped */
bool dead[NW];
byte deaths, lapses, cuts, finals;

/* ---- only for the assertions */
byte owner[JOBS] = NOBODY;
bool arrived[JOBS];

hidden byte i, k, m, place;
hidden byte old[JOBS];

#define BIT(x)       (1 << (x))
#define IN(set, j)   (((set) >> (j)) & 1)
#define ENDED(j)     (completed[j] || failed[j])
#define ALL_ENDED    (ENDED(0) && ENDED(JOBS - 1) && ENDED(JOBS / 2))
#ifdef NO_EPOCH
#define VALID(p, e)  (lease == p)
#define OUTDATED(p, e) false
#else
#define VALID(p, e)  (lease == p && epoch == e)
#ifdef LOOSE_HAND_BACK
#define OUTDATED(p, e) false
#else
#define OUTDATED(p, e) (lease == p && epoch != e)
#endif
#endif
#define told         (is_new && !dead[p]) /* in a connection: the worker hears the answer */
#define UNLOCKED(x)  (x < n_act && lock[act[x]] == NOBODY)

inline check()
{
    for (k : 0 .. JOBS - 1) {
        m = completed[k] + failed[k];
        for (i : 0 .. JOBS - 1) {
            m = m + (i < n_wait && wait[i] == k) + (i < n_act && act[i] == k)
        }
        assert(m == 1) /* place */
    }
    i = 0; k = 0; m = 0
}

/* ---- the hand */

inline drop(p, x)
{
    h[p].s[x].job = NOBODY;
    h[p].s[x].result = 0;
    h[p].s[x].sent = false
}

inline drop_first(p)
{
    h[p].s[0].job = h[p].s[1].job;
    h[p].s[0].result = h[p].s[1].result;
    h[p].s[0].sent = h[p].s[1].sent;
    drop(p, 1)
}

inline drop_job(p, j)
{
    if
    :: h[p].s[0].job == j -> drop_first(p)
    :: h[p].s[1].job == j -> drop(p, 1)
    :: else
    fi
}

#define IN_HAND(p, j) (h[p].s[0].job == j || h[p].s[1].job == j)

inline put_in_hand(p, j)
{
    if
    :: IN_HAND(p, j)
    :: !IN_HAND(p, j) && h[p].s[0].job == NOBODY -> h[p].s[0].job = j
    :: else -> h[p].s[1].job = j
    fi
}

#define SET_OF(x)     (h[x].s[0].job == NOBODY -> 0 : BIT(h[x].s[0].job)) | (h[x].s[1].job == NOBODY -> 0 : BIT(h[x].s[1].job))

/* The lease is lost: what has no answer yet is posted no more and goes back, results are kept for the next lease. */
inline give_up(p)
{
    printf("MSC: worker %d: its lease of epoch %d is lost\n", p, knows[p]);
    knows[p] = 0;
    leaving[p] = true;
    if
    :: h[p].s[1].result == 0 -> drop(p, 1)
    :: else
    fi;
    if
    :: h[p].s[0].result == 0 -> drop_first(p)
    :: else
    fi
}

/* ---- scripts; told: the worker hears the answer */

inline push(j)
{
    wait[n_wait] = j;
    n_wait++
}

inline leave_active()
{
    k = 0;
    for (i : 0 .. JOBS - 1) {
        if
        :: i < n_act && !old[i] -> act[k] = act[i]; k++
        :: else
        fi
    }
    n_act = k;
    for (i : 0 .. JOBS - 1) {
        old[i] = false;
        if
        :: i >= n_act -> act[i] = 0
        :: else
        fi
    }
    i = 0;
    k = 0
}

/* Sends back those in active that are set in old[], newest first. counted: the place of the one that counts a stall. */
inline requeue(counted, take_fails)
{
#ifndef RELEASE_ALONE
    k = 0;
    for (i : 0 .. JOBS - 1) {
        old[i] = old[i] || k && UNLOCKED(i);
        k = k || old[i]
    }
#endif
    m = n_act;
    do
    :: m == 0 -> break
    :: else ->
        m--;
        if
        :: old[m] ->
            stalls[act[m]] = stalls[act[m]] + (m == counted);
            printf("MSC: job %d: goes back, stalls %d\n", act[m], stalls[act[m]]);
            if
            :: stalls[act[m]] > MAX_STALLED && take_fails && lock[act[m]] == NOBODY ->
                failed[act[m]] = true;
                assert(deaths + lapses + cuts > MAX_STALLED) /* stalls */
            :: stalls[act[m]] > MAX_STALLED && m == counted && !take_fails ->
                old[m] = false /* stays, unlocked: the next take fails it */
            :: else -> push(act[m])
            fi;
            lock[act[m]] = NOBODY
        :: else
        fi
    od;
    leave_active()
}

inline acquire(p)
{
    if
    :: lease == NOBODY || lease == p ->
        lease = p;
        epoch++;
        printf("MSC: worker %d: gets the lease, epoch %d\n", p, epoch);
        if
        :: told -> knows[p] = epoch; knew[p] = epoch
        :: else
        fi
    :: else
    fi;
    if
    :: told -> asks_lease[p] = false
    :: else
    fi
}

#define LOCKED_BY_OTHER(p, x) (x < n_act && lock[act[x]] != NOBODY && lock[act[x]] != p)
#define BLOCKED(p)            (LOCKED_BY_OTHER(p, 0) || LOCKED_BY_OTHER(p, JOBS / 2) || LOCKED_BY_OTHER(p, JOBS - 1))
#ifdef STRAYS_LEFT
#define OWNERLESS(p, x, mine) UNLOCKED(x)
#else
#define OWNERLESS(p, x, mine) (UNLOCKED(x) || x < n_act && lock[act[x]] == p && !IN(mine, act[x]))
#endif
#define HELD                  (hold != NOBODY && !due && n_wait > 0 && wait[n_wait - 1] == hold)

inline take(p, e, mine)
{
    if
    :: told -> asked[p] = false
    :: else
    fi;
    if
    :: !VALID(p, e) ->
        if
        :: told && knows[p] == e -> give_up(p)
        :: else
        fi
    :: VALID(p, e) && BLOCKED(p)
    :: else ->
        m = NOBODY;
        for (i : 0 .. JOBS - 1) {
            old[i] = OWNERLESS(p, i, mine);
            if
            :: m == NOBODY && UNLOCKED(i) -> m = i
            :: else
            fi
        }
        place = m;
        requeue(place, true);
        if
        :: n_wait == 0 || HELD
        :: else ->
            n_wait--;
            k = wait[n_wait];
            wait[n_wait] = 0;
            act[n_act] = k;
            n_act++;
            lock[k] = p;
            lock_epoch[k] = epoch;
            owner[k] = p;
            if
            :: hold == k -> hold = NOBODY; due = false
            :: else
            fi;
            printf("MSC: job %d: worker %d takes it\n", k, p);
            if
            :: told && knows[p] == e -> put_in_hand(p, k)
            :: else /* the next take finds it, or another worker */
            fi;
            k = 0
        fi
    fi;
    m = 0;
    place = 0
}

#ifdef ONE_LOST_CODE
#define SAYS_NOTHING(p, e) false
#else
#define SAYS_NOTHING(p, e) !VALID(p, e)
#endif

inline settle(p, j, e, mine, op)
{
    place = 0;
    for (i : 0 .. JOBS - 1) {
        if
        :: i < n_act && act[i] == j && lock[j] == p && VALID(p, e) -> place = i + 1
        :: else
        fi
    }
    printf("MSC: job %d: worker %d settles it: %e (1: accepted) %d\n", j, p, op, place > 0);
    if
    :: place > 0 ->
        assert(owner[j] == p); /* fence */
        for (i : 0 .. JOBS - 1) {
#ifdef BLIND_RETRY
            old[i] = i == place - 1 || i >= place && i < n_act && op == AGAIN && IN(mine, act[i])
#else
            old[i] = i == place - 1 || i >= place && i < n_act && op == AGAIN && lock[act[i]] == p
#endif
        }
        if
        :: op == AGAIN ->
            requeue(NOBODY, false);
            tries[j]++;
            hold = j;
            due = false
        :: else ->
            leave_active();
            lock[j] = NOBODY;
            completed[j] = op == DONE;
            failed[j] = op == FAIL
        fi
    :: else
    fi;
    if
    :: told && IN_HAND(p, j) ->
        m = h[p].s[0].job != j;
        if
        :: place == 0 && SAYS_NOTHING(p, e) ->
            h[p].s[m].sent = false;
            if
            :: knows[p] == e -> give_up(p)
            :: else
            fi
        :: else -> /* written; or the lock is another's, or was ended by what was sent before */
            if
#ifdef BLIND_RETRY
            :: op == AGAIN && m == 0 && h[p].s[1].job != NOBODY && IN(mine, h[p].s[1].job) -> drop(p, 1)
#else
            :: op == AGAIN && m == 0 -> drop(p, 1)
#endif
            :: else
            fi;
            drop_job(p, j)
        fi
    :: else
    fi;
    i = 0; k = 0; m = 0;
    place = 0
}

/* Of p: what it has locked beside spared. */
inline release(p, spared, is_dead)
{
    m = NOBODY;
    for (i : 0 .. JOBS - 1) {
        old[i] = i < n_act && lock[act[i]] == p && !IN(spared, act[i]);
        if
        :: m == NOBODY && old[i] -> m = i
        :: else
        fi
    }
    place = (is_dead -> m : NOBODY);
    requeue(place, false);
    if
    :: is_dead && lease == p -> lease = NOBODY
    :: else
    fi;
    m = 0;
    place = 0
}

/* Runs what stands in a connection, in its order. */
proctype connection(byte p; chan from; bool is_new)
{
    byte j, e, mine;
end:
    do
    :: d_step { from?ACQUIRE, _, _, _ -> acquire(p) }
    :: d_step { from?TAKE, _, e, mine -> take(p, e, mine); check(); e = 0; mine = 0 }
    :: d_step { from?DONE, j, e, mine -> settle(p, j, e, mine, DONE); check(); j = 0; e = 0; mine = 0 }
    :: d_step { from?FAIL, j, e, mine -> settle(p, j, e, mine, FAIL); check(); j = 0; e = 0; mine = 0 }
    :: d_step { from?AGAIN, j, e, mine -> settle(p, j, e, mine, AGAIN); check(); j = 0; e = 0; mine = 0 }
    :: d_step { from?BACK, _, e, mine ->
        if
        :: OUTDATED(p, e)
        :: else -> release(p, mine, false); check()
        fi;
        e = 0;
        mine = 0 }
    od
}

/* ---- the worker */

#define CAN_SEND(p)    (!dead[p] && nfull(link[p]))
#define UNSENT(p, x)   (h[p].s[x].result != 0 && !h[p].s[x].sent)
#define ANY_OWNERLESS(p) (OWNERLESS(p, 0, SET_OF(p)) || OWNERLESS(p, JOBS / 2, SET_OF(p)) || OWNERLESS(p, JOBS - 1, SET_OF(p)))
#define TO_TAKE(p)     (!BLOCKED(p) && (ANY_OWNERLESS(p) || n_wait > 0 && !HELD))
#define CAN_TAKE(p)    (CAN_SEND(p) && knows[p] != 0 && !asked[p] && h[p].s[1].job == NOBODY && !UNSENT(p, 0) && TO_TAKE(p))
#define CAN_ASK(p)     (CAN_SEND(p) && knows[p] == 0 && !leaving[p] && !asks_lease[p] && (lease == NOBODY || lease == p))
#define CAN_POST(p, x) (!dead[p] && knows[p] != 0 && h[p].s[x].job != NOBODY && h[p].s[x].result == 0)
#define CAN_END(p, x)  (CAN_SEND(p) && knows[p] != 0 && UNSENT(p, x))
#ifdef PIPELINED_FAILURE
#define MAY_FOLLOW(p)  (h[p].s[0].result == DONE || h[p].s[0].result == FAIL)
#else
#define MAY_FOLLOW(p)  (h[p].s[0].result == DONE)
#endif

inline post(p, x, answer, arrives)
{
    m = h[p].s[x].job;
    printf("MSC: job %d: worker %d posts it (1: arrives) %d, result %e\n", m, p, arrives, answer);
    place = 0;
    for (k : 0 .. JOBS - 1) {
        place = place + (k < n_act && act[k] == m);
        assert(!(arrives && !arrived[m] && k > m && arrived[k])) /* order */
    }
    assert(lease == p && place == 1 && lock[m] == p && owner[m] == p); /* one */
    arrived[m] = arrived[m] || arrives;
    h[p].s[x].result = answer;
    k = 0; m = 0;
    place = 0
}

/* The answer is read at once: a death or a lapse before that is one behind it. */
inline try(p, x)
{
    if
    :: d_step { true -> post(p, x, DONE, true) }
    :: d_step { tries[h[p].s[x].job] < RETRIES -> post(p, x, AGAIN, true) } /* the answer was lost */
    :: d_step { tries[h[p].s[x].job] < RETRIES -> post(p, x, AGAIN, false) }
    :: d_step { finals < FINALS -> finals++; post(p, x, FAIL, false) }
    fi
}

inline send_result(p, x)
{
    h[p].s[x].sent = true;
    if
    :: h[p].s[x].result == DONE -> link[p]!DONE, h[p].s[x].job, knows[p], 0
    :: h[p].s[x].result == FAIL -> link[p]!FAIL, h[p].s[x].job, knows[p], 0
    :: h[p].s[x].result == AGAIN -> link[p]!AGAIN, h[p].s[x].job, knows[p], SET_OF(p)
    fi
}

proctype worker(byte me)
{
end:
    do
    :: atomic { CAN_ASK(me) -> asks_lease[me] = true; link[me]!ACQUIRE, 0, 0, 0 }
    :: atomic { CAN_TAKE(me) -> asked[me] = true; link[me]!TAKE, 0, knows[me], SET_OF(me) }
    :: atomic { CAN_POST(me, 0) -> try(me, 0) }
    :: atomic { CAN_POST(me, 1) && MAY_FOLLOW(me) -> try(me, 1) }
    :: atomic { CAN_END(me, 0) -> send_result(me, 0) }
    :: atomic { CAN_END(me, 1) && h[me].s[0].sent -> send_result(me, 1) }
    :: atomic { CAN_SEND(me) && leaving[me] -> leaving[me] = false; link[me]!BACK, 0, knew[me], SET_OF(me) }
    od
}

/* A sibling, told by the master that p is dead. */
proctype reaper(byte p)
{
end:
    dead[p];
    d_step { release(p, 0, true); check() }
}

/* ---- what happens to them */

inline die(p)
{
    deaths++;
    printf("MSC: worker %d: dies\n", p);
    dead[p] = true;
    knows[p] = 0;
    drop(p, 1);
    drop(p, 0);
    asked[p] = false; asks_lease[p] = false; leaving[p] = false
}

inline cut(p)
{
    cuts++;
    printf("MSC: worker %d: its connection breaks\n", p);
    do
    :: nempty(link[p]) -> link[p]?c_, j_, e_, mine_; old_link[p]!c_, j_, e_, mine_
    :: empty(link[p]) -> break
    od;
    c_ = 0; j_ = 0; e_ = 0; mine_ = 0;
    asked[p] = false;
    asks_lease[p] = false;
    for (i : 0 .. 1) {
        h[p].s[i].sent = false
    }
    i = 0;
    give_up(p)
}

/* One worker always lives. */
proctype fate(byte p)
{
    mtype c_;
    byte j_, e_, mine_;
end:
    do
    :: d_step { !ALL_ENDED && !dead[p] && deaths < DEATHS && p != 0 -> die(p) }
    :: d_step { !ALL_ENDED && !dead[p] && knows[p] != 0 && lapses < LAPSES -> lapses++; give_up(p) }
    :: d_step { !ALL_ENDED && !dead[p] && cuts < CUTS -> cut(p) }
    od
}

/* An ask of an old connection may have moved the epoch on: the holder trusts the earlier one, for less long. */
#define LEASE_RUNS_OUT (lease != NOBODY && knows[lease] == 0)
#define RUNS_OUT(j)    (lock[j] != NOBODY && knows[lock[j]] != lock_epoch[j] && !(lease == lock[j] && epoch == lock_epoch[j]))

inline run_out(j)
{
    printf("MSC: job %d: its lock of worker %d runs out\n", j, lock[j]);
    lock[j] = NOBODY
}

proctype clock()
{
end:
    do
    :: d_step { LEASE_RUNS_OUT -> lease = NOBODY; printf("MSC: the lease runs out\n") }
    :: d_step { hold != NOBODY && !due -> due = true }
    :: d_step { RUNS_OUT(0) -> run_out(0) }
    :: d_step { JOBS > 2 && RUNS_OUT(1) -> run_out(1) }
    :: d_step { JOBS > 1 && RUNS_OUT(JOBS - 1) -> run_out(JOBS - 1) }
    od
}

/* An end without all jobs ended is an invalid one: this process stands. */
proctype judge()
{
    ALL_ENDED
}

init
{
    byte p;

    atomic {
        for (p : 0 .. JOBS - 1) {
            wait[p] = JOBS - 1 - p
        }
        n_wait = JOBS;
        for (p : 0 .. NW - 1) {
            run connection(p, link[p], true);
#if CUTS > 0
            run connection(p, old_link[p], false);
#endif
            run worker(p);
            run fate(p);
            run reaper(p)
        }
        run clock();
        run judge();
        p = 0
    }
}

ltl ends { <> ALL_ENDED }
