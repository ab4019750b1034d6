/* queue - a model of the shared queue: locks, the stalled check, and handing back what the dead held.
 *
 * Modelled, each Redis script as one step: take.lua, settle.lua (done, or a failed attempt to delayed), release.lua,
 * stalled.lua, tick.lua (promotion). Processes: NDRAY delivery workers that take, have up to ROOM jobs in hand and settle
 * them, with takes and settles on the way at once; NBULL workers of Bull's that move (BRPOPLPUSH) and lock (SET without
 * NX) in two steps; a reaper that ends a dead worker's connection and releases its token. At any point: DEATHS (what was
 * sent may still run), STOPS (SIGSTOP, or cut off from Redis: locks run out meanwhile; the process may go on at any time
 * with what it holds). A restart is another of the NDRAY.
 * Abstracted: wait is a set (order is lease.pml's matter); priority, pause, limiter, ghosts, the longest run. Of time
 * only this is kept: who is not stopped renews its locks, and locks what it moved before a second stalled check; Redis
 * reads what a dead one had sent before its locks run out.
 *
 * Holds (assertions; the switch in brackets removes the rule that it hangs on):
 *   place    each job always is in exactly one of wait, active, delayed, completed, failed
 *   fence    who settles a job is the one who got it last
 *              [NO_TOKEN    settling needs the token in the lock]
 *   handed   once a dead worker's jobs were handed back, nothing in active is its: no job waits for the stalled check
 *              [TWO_STEPS   move and lock are one step
 *               NO_KILL     its connection is ended first]
 *   stalls   no job counts more stalls than processes died or stopped with it (again for a take that a stopped one had
 *            sent), or fails for fewer than MAX_STALLED + 1; beyond MAX_STALLED it is not taken any more
 *              [ONE_TICK    what has no lock must be found so by two checks
 *               NO_KILL     (with NOT_HANDED, which leaves that property out)]
 *   progress every run ends, all jobs completed or failed (ltl ends; and as no invalid end state)
 */
#ifndef NDRAY
#define NDRAY 2
#endif
#ifndef NBULL
#define NBULL 1
#endif
#ifndef JOBS
#define JOBS 2
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef STOPS
#define STOPS 1
#endif
#ifndef RETRIES
#define RETRIES 1
#endif
#ifndef MAX_STALLED
#define MAX_STALLED 0
#endif
#ifndef ROOM
#define ROOM 2
#endif
#ifndef NOT_HANDED
#define NOT_HANDED false
#endif
#define N       (NDRAY + NBULL)
#define NOBODY  255
#define BIT(p)  (1 << (p))

mtype = { RUNNING, STOPPED, DEAD, TAKE, MOVE, LOCK, DONE, RETRY };

/* ---- Redis */
bool in_wait[JOBS] = true, in_active[JOBS], in_delayed[JOBS], in_completed[JOBS], in_failed[JOBS];
bool stalled[JOBS];          /* Bull's set: was active at the last check */
byte lock[JOBS] = NOBODY;
byte stalls[JOBS], attempts[JOBS];
chan link[N] = [2] of { mtype, byte }; /* sent, not yet run by Redis */

/* ---- processes */
mtype state[N] = RUNNING;
bool asked[N];               /* a take, move or lock is under way */
byte hand[JOBS];             /* bit p: process p works on it */
byte settling[JOBS];         /* bit p: and has sent its result */
byte moved[N] = NOBODY;      /* two steps: moved, not locked yet */
bool late[N];                /* and so since before the last stalled check */
bool released[N];            /* dead, and its jobs were handed back */
byte deaths, stops;

/* ---- only for the assertions */
byte owner[JOBS] = NOBODY;   /* who got the job last */
byte faults[JOBS];           /* how often who had it died or stopped */
byte charged[JOBS];          /* bit p: p's death or present stop is counted in */
bool stolen[JOBS];           /* a late lock of Bull's took it from its owner */

hidden byte i, k;

#ifdef TWO_STEPS
#define LOCKS_LATER(p) true
#else
#define LOCKS_LATER(p) ((p) >= NDRAY)
#endif
#define WAITING        (in_wait[0] || in_wait[JOBS - 1])
#define ENDED          ((in_completed[0] || in_failed[0]) && (in_completed[JOBS - 1] || in_failed[JOBS - 1]))
#define HAS(set, p)    ((set) & BIT(p))
#define BUSY(p)        ((HAS(hand[0], p) != 0) + (JOBS > 1 && HAS(hand[JOBS - 1], p) != 0))

inline check()
{
    for (k : 0 .. JOBS - 1) {
        assert(in_wait[k] + in_active[k] + in_delayed[k] + in_completed[k] + in_failed[k] == 1); /* place */
        assert(stalls[k] <= faults[k] || in_failed[k]) /* stalls */
    }
    k = 0
}

inline charge(p, j)
{
    if
    :: !HAS(charged[j], p) -> charged[j] = charged[j] | BIT(p); faults[j]++
    :: else
    fi
}

/* Redis has given the job to p, who may be dead by now. */
inline give(p, j)
{
    owner[j] = p;
    assert(NOT_HANDED || !released[p]); /* handed */
    if
    :: state[p] == DEAD -> charge(p, j)
    :: state[p] == STOPPED -> charged[j] = charged[j] | BIT(p); faults[j]++ /* each take that it had sent */
    :: else
    fi;
    if
    :: state[p] != DEAD && lock[j] == p -> hand[j] = hand[j] | BIT(p)
    :: else
    fi
}

/* ---- scripts */

inline take(p, j)
{
    asked[p] = false;
    if
    :: j == NOBODY
    :: j != NOBODY && lock[j] != NOBODY ->
        in_wait[j] = false;
        in_delayed[j] = true;
        printf("MSC: job %d: process %d takes it, but %d has the lock: delayed\n", j, p, lock[j])
    :: else ->
        assert(stalls[j] <= MAX_STALLED || stolen[j]); /* stalls */
        in_wait[j] = false;
        in_active[j] = true;
        lock[j] = p;
        give(p, j);
        printf("MSC: job %d: process %d takes and locks it\n", j, p)
    fi
}

/* Two steps: BRPOPLPUSH, then Bull's moveToActive with the id. */
inline move(p, j)
{
    asked[p] = false;
    if
    :: j == NOBODY
    :: else ->
        in_wait[j] = false;
        in_active[j] = true;
        moved[p] = j;
        give(p, j);
        printf("MSC: job %d: process %d moves it to active\n", j, p)
    fi
}

inline set_lock(p, j)
{
    asked[p] = false;
    moved[p] = NOBODY;
    late[p] = false;
    lock[j] = p;
    stalled[j] = false;
    printf("MSC: job %d: process %d locks it\n", j, p);
    if
    :: in_active[j] && owner[j] != p -> /* SET without NX, late: Bull takes the job from its owner */
        faults[j]++;
        stolen[j] = true
    :: else
    fi;
    if
    :: in_active[j] -> give(p, j)
    :: !in_active[j] && state[p] != DEAD -> hand[j] = hand[j] | BIT(p)
    :: else
    fi
}

inline settle(p, j, op)
{
    hand[j] = hand[j] & ~BIT(p);
    settling[j] = settling[j] & ~BIT(p);
#ifdef NO_TOKEN
    k = true;
#else
    k = lock[j] == p;
#endif
    printf("MSC: job %d: process %d settles it: %e\n", j, p, op);
    if
    :: k ->
        lock[j] = NOBODY;
        stalled[j] = false
    :: else
    fi;
    if
    :: k && in_active[j] ->
        assert(owner[j] == p || owner[j] == NOBODY); /* fence */
        in_active[j] = false;
        if
        :: op == DONE -> in_completed[j] = true
        :: else -> in_delayed[j] = true; attempts[j]++
        fi
    :: else
    fi
}

inline release(p)
{
    for (i : 0 .. JOBS - 1) {
        if
        :: in_active[i] && lock[i] == p ->
            lock[i] = NOBODY;
            owner[i] = NOBODY;
            stalls[i]++;
            stalled[i] = stalls[i] > MAX_STALLED; /* then the stalled check fails it */
            in_active[i] = stalled[i];
            in_wait[i] = !stalled[i];
            printf("MSC: job %d: released for process %d, stalls %d\n", i, p, stalls[i])
        :: else
        fi;
        assert(NOT_HANDED || !(in_active[i] && owner[i] == p)) /* handed */
    }
    released[p] = true;
    i = 0
}

inline check_stalled()
{
    for (i : 0 .. JOBS - 1) {
        if
#ifdef ONE_TICK
        :: in_active[i] && lock[i] == NOBODY ->
#else
        :: in_active[i] && lock[i] == NOBODY && stalled[i] ->
#endif
            stalls[i]++;
            in_active[i] = false;
            in_failed[i] = stalls[i] > MAX_STALLED;
            in_wait[i] = !in_failed[i];
            printf("MSC: job %d: stalled, %d times\n", i, stalls[i]);
            assert(!in_failed[i] || faults[i] > MAX_STALLED) /* stalls */
        :: else
        fi;
        stalled[i] = in_active[i]
    }
    for (i : 0 .. N - 1) {
        late[i] = moved[i] != NOBODY
    }
    i = 0
}

inline pick_waiting(j)
{
    if
    :: in_wait[0] -> j = 0
    :: JOBS > 1 && in_wait[JOBS - 1] -> j = JOBS - 1
    :: !WAITING -> j = NOBODY
    fi
}

/* Runs what stands in p's connection, in its order, whether p lives or not. */
proctype connection(byte p)
{
    byte j;
end:
    do
    :: atomic { link[p]?TAKE, _ -> pick_waiting(j); d_step { take(p, j); check(); j = 0 } }
    :: atomic { link[p]?MOVE, _ -> pick_waiting(j); d_step { move(p, j); check(); j = 0 } }
    :: d_step { link[p]?LOCK, j -> set_lock(p, j); check(); j = 0 }
    :: d_step { link[p]?DONE, j -> settle(p, j, DONE); check(); j = 0 }
    :: d_step { link[p]?RETRY, j -> settle(p, j, RETRY); check(); j = 0 }
    od
}

/* ---- who works: dray's delivery worker and Bull's differ in how they take, and in what they do about a lost lock */

#define CAN_SEND(p)    (state[p] == RUNNING && nfull(link[p]))
#define CAN_ASK(p)     (CAN_SEND(p) && !asked[p] && moved[p] == NOBODY && WAITING)
#define CAN_END(p, j)  (CAN_SEND(p) && HAS(hand[j], p) && !HAS(settling[j], p))

inline send_result(p, j)
{
    settling[j] = settling[j] | BIT(p);
    if
    :: link[p]!DONE, j
    :: attempts[j] < RETRIES -> link[p]!RETRY, j
    :: p < NDRAY && lock[j] != p -> /* noticed at the renewal: the call is aborted */
        hand[j] = hand[j] & ~BIT(p);
        settling[j] = settling[j] & ~BIT(p)
    fi
}

proctype worker(byte me)
{
end:
    do
    :: atomic { CAN_ASK(me) && !LOCKS_LATER(me) && BUSY(me) < ROOM -> asked[me] = true; link[me]!TAKE, 0 }
    :: atomic { CAN_ASK(me) && LOCKS_LATER(me) && BUSY(me) == 0 -> asked[me] = true; link[me]!MOVE, 0 }
    :: atomic { CAN_SEND(me) && !asked[me] && moved[me] != NOBODY -> asked[me] = true; link[me]!LOCK, moved[me] }
    :: atomic { CAN_END(me, 0) -> send_result(me, 0) }
    :: atomic { JOBS > 1 && CAN_END(me, JOBS - 1) -> send_result(me, JOBS - 1) }
    od
}

/* A sibling, told by the master that p is dead. */
proctype reaper(byte p)
{
end:
    state[p] == DEAD;
#ifndef NO_KILL
    d_step {
        do
        :: nempty(link[p]) -> link[p]?_, _
        :: empty(link[p]) -> break
        od;
        printf("MSC: process %d: its connection is ended\n", p)
    }
#endif
    d_step { release(p); check() }
}

/* ---- what happens to them */

inline fault(p, to)
{
    state[p] = to;
    for (k : 0 .. JOBS - 1) {
        if
        :: in_active[k] && owner[k] == p -> charge(p, k)
        :: else
        fi
    }
    k = 0;
    printf("MSC: process %d: %e\n", p, to)
}

inline die(p)
{
    deaths++;
    for (k : 0 .. JOBS - 1) {
        charged[k] = charged[k] & ~BIT(p) /* of a stop: a death is another fault */
    }
    fault(p, DEAD);
    asked[p] = false;
    moved[p] = NOBODY;
    late[p] = false;
    for (k : 0 .. JOBS - 1) {
        hand[k] = hand[k] & ~BIT(p);
        settling[k] = settling[k] & ~BIT(p)
    }
    k = 0
}

inline go_on(p)
{
    state[p] = RUNNING;
    for (k : 0 .. JOBS - 1) {
        charged[k] = charged[k] & ~BIT(p)
    }
    k = 0;
    printf("MSC: process %d: continued\n", p)
}

/* One dray worker always lives. */
proctype fate(byte p)
{
end:
    do
    :: d_step { !ENDED && state[p] != DEAD && deaths < DEATHS && p != 0 -> die(p) }
    :: d_step { !ENDED && state[p] == RUNNING && stops < STOPS -> stops++; fault(p, STOPPED) }
    :: d_step { state[p] == STOPPED -> go_on(p) }
    od
}

#define RENEWED(j)     (state[lock[j]] == RUNNING && HAS(hand[j], lock[j]))
#define RUNS_OUT(j)    (lock[j] != NOBODY && !RENEWED(j) && !(state[lock[j]] == DEAD && len(link[lock[j]]) > 0))
#define TO_CHECK(j)    (in_active[j] && (lock[j] == NOBODY || !stalled[j]))
#define IN_TIME(p)     (!(late[p] && state[p] == RUNNING))
#define ALL_IN_TIME    (IN_TIME(0) && IN_TIME(N - 1) && IN_TIME(1) && IN_TIME(N / 2))

/* When a lock runs out before the reaper comes (there may be none: the whole host died), the job is left to the stalled
 * check. */
inline run_out(j)
{
    printf("MSC: job %d: the lock of process %d runs out\n", j, lock[j]);
    if
    :: owner[j] == lock[j] -> owner[j] = NOBODY
    :: else
    fi;
    lock[j] = NOBODY
}

/* Locks run out, what was delayed is promoted, the stalled check runs. */
proctype clock()
{
end:
    do
    :: d_step { RUNS_OUT(0) -> run_out(0) }
    :: d_step { JOBS > 1 && RUNS_OUT(JOBS - 1) -> run_out(JOBS - 1) }
    :: d_step { in_delayed[0] && lock[0] == NOBODY -> in_delayed[0] = false; in_wait[0] = true }
    :: d_step { JOBS > 1 && in_delayed[JOBS - 1] && lock[JOBS - 1] == NOBODY -> in_delayed[JOBS - 1] = false; in_wait[JOBS - 1] = true }
    :: d_step { (TO_CHECK(0) || TO_CHECK(JOBS - 1)) && ALL_IN_TIME -> check_stalled(); check() }
    od
}

/* An end without all jobs ended is an invalid one: this process stands. */
proctype judge()
{
    ENDED
}

init
{
    byte p;

    atomic {
        for (p : 0 .. N - 1) {
            run connection(p);
            run worker(p);
            run fate(p);
            if
            :: p < NDRAY -> run reaper(p)
            :: else
            fi
        }
        run clock();
        run judge();
        p = 0
    }
}

ltl ends { <> ENDED }
