/* top - dray top: what the instance does, on the whole screen, refreshed; --once: one page of it. */
#include <curses.h>
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/str.h"
#include "master/cli/cli.h"
#include "master/cli/client.h"
#include "master/cli/options.h"
#include "master/cli/top_page.h"

#define ONCE_WIDTH     120
#define ANSWER_MS      900
#define INTERVAL_MIN_S 0.2
#define INTERVAL_MAX_S 60.0

static const char usage[] =
    "usage: dray top [-d SECONDS] [--once [-o json]]\n\n"
    "What the running instance does, on the whole screen; ? tells the keys.\n\n"
    "  -d, --delay SECONDS        between two looks (1)\n"
    "      --once                 one page as text, with rates measured over that time; -o json: for programs\n";

struct top {
    char path[CLIENT_PATH_MAX];
    struct top_model model;
    struct top_view view;
    struct top_page page;
    uint64_t answered_ms, next_ms;
    bool colours;
};

static volatile sig_atomic_t ended; /* by this signal */

static void on_signal(int signo)
{
    ended = signo;
}

/* ------------------------------------------------------------------ asking */

static int look(struct top *t, bool quiet)
{
    struct client c;
    json_t *answer;
    int code = client_connect_path(t->path, quiet, &c);
    if (code == EXIT_CODE_OK) {
        code = client_ask_within(&c, json_pack("{s:s}", "verb", "status"), ANSWER_MS, &answer);
        client_close(&c);
    }
    if (code == EXIT_CODE_OK) {
        top_model_take(&t->model, answer);
        t->answered_ms = clock_mono_ms();
        t->view.trouble = NULL;
    } else {
        t->view.trouble = code == EXIT_CODE_NOT_RUNNING ? "not running"
                          : code == EXIT_CODE_NOPERM    ? "permission denied"
                                                        : "silence";
    }
    return code;
}

static void look_again(struct top *t)
{
    (void)look(t, true);
    t->next_ms = clock_mono_ms() + (uint64_t)(t->view.interval_s * 1e3);
}

/* ------------------------------------------------------------------ the screen */

static void start_colours(struct top *t)
{
    const char *no = getenv("NO_COLOR");
    t->colours = has_colors() && (no == NULL || no[0] == '\0') && start_color() == OK;
    if (!t->colours)
        return;
    use_default_colors();
    init_pair(1, COLOR_GREEN, -1);
    init_pair(2, COLOR_YELLOW, -1);
    init_pair(3, COLOR_RED, -1);
}

static chtype attributes(const struct top *t, enum top_style style)
{
    switch (style) {
    case TOP_TITLE:
        return A_BOLD;
    case TOP_HEAD:
        return A_REVERSE;
    case TOP_SELECTED:
        return A_REVERSE | A_BOLD;
    case TOP_GOOD:
        return A_BOLD | (t->colours ? COLOR_PAIR(1) : 0);
    case TOP_WARN:
        return t->colours ? COLOR_PAIR(2) : A_NORMAL;
    case TOP_BAD:
        return A_BOLD | (t->colours ? COLOR_PAIR(3) : 0);
    case TOP_DIM:
        return A_DIM;
    default:
        return A_NORMAL;
    }
}

static void draw(struct top *t)
{
    int height, width;
    getmaxyx(stdscr, height, width);
    t->view.trouble_s = (double)(clock_mono_ms() - t->answered_ms) / 1e3;
    top_model_arrange(&t->model, t->view.sort, t->view.reverse, t->view.filter);
    top_page_make(&t->page, &t->model, &t->view, width, height);
    erase();
    for (size_t i = 0; i < t->page.n; i++) {
        attrset((int)attributes(t, t->page.lines[i].style));
        mvaddstr((int)i, 0, t->page.lines[i].text);
    }
    attrset(A_NORMAL);
    refresh();
}

/* ------------------------------------------------------------------ keys */

static void select_by(struct top *t, int step)
{
    struct top_view *v = &t->view;
    const struct top_model *m = &t->model;
    long at = -1, n = (long)m->n;
    if (v->tab != TOP_PROCESSES) {
        v->scroll = step < 0 && v->scroll < (size_t)-step ? 0 : v->scroll + (size_t)step;
        return;
    }
    for (long i = 0; i < n; i++)
        if (strcmp(m->rows[i].who, v->selected) == 0)
            at = i;
    if (n == 0)
        return;
    at = at < 0 ? (step > 0 ? 0 : n - 1) : at + step;
    at = at < 0 ? 0 : at >= n ? n - 1 : at;
    str_copy(v->selected, m->rows[at].who, sizeof v->selected);
}

static void edit_filter(struct top_view *v, int key)
{
    size_t n = strlen(v->filter);
    if (key == '\n' || key == '\r' || key == KEY_ENTER) {
        v->editing = false;
    } else if (key == 27) {
        v->filter[0] = '\0';
        v->editing = false;
    } else if (key == KEY_BACKSPACE || key == 127 || key == 8) {
        while (n > 0 && ((unsigned char)v->filter[n - 1] & 0xc0) == 0x80)
            n--;
        v->filter[n > 0 ? n - 1 : 0] = '\0';
    } else if (key >= 0x20 && key < 0x100 && n + 1 < sizeof v->filter) {
        v->filter[n] = (char)key;
        v->filter[n + 1] = '\0';
    }
}

static void sort_by(struct top_view *v, enum top_column c)
{
    v->reverse = v->sort == c ? !v->reverse : false;
    v->sort = c;
    v->tab = TOP_PROCESSES;
}

static void show(struct top_view *v, enum top_tab tab)
{
    v->tab = tab;
    v->details = false;
    v->scroll = 0;
}

static void change_interval(struct top *t, double factor)
{
    double s = t->view.interval_s * factor;
    t->view.interval_s = s < INTERVAL_MIN_S ? INTERVAL_MIN_S : s > INTERVAL_MAX_S ? INTERVAL_MAX_S : s;
    t->next_ms = clock_mono_ms() + (uint64_t)(t->view.interval_s * 1e3);
}

static void enter(struct top *t)
{
    struct top_view *v = &t->view;
    if (v->tab != TOP_PROCESSES)
        return;
    if (v->selected[0] == '\0')
        select_by(t, 1);
    v->details = !v->details && v->selected[0] != '\0';
}

/* False: it is over. */
static bool on_key(struct top *t, int key)
{
    static const struct {
        int key;
        enum top_column column;
    } sorts[] = {{'c', TOP_CPU}, {'m', TOP_RSS},     {'r', TOP_RESTARTS},
                 {'l', TOP_LAG}, {'h', TOP_IN_HAND}, {'k', TOP_NAME}};
    struct top_view *v = &t->view;
    if (v->editing) {
        edit_filter(v, key);
        return true;
    }
    for (size_t i = 0; i < sizeof sorts / sizeof *sorts; i++)
        if (sorts[i].key == key)
            sort_by(v, sorts[i].column);
    switch (key) {
    case 'q':
        return false;
    case 'p':
        show(v, TOP_PROCESSES);
        break;
    case 'u':
        show(v, TOP_QUEUES);
        break;
    case 'e':
        show(v, TOP_ERRORS);
        break;
    case '?':
        show(v, TOP_HELP);
        break;
    case 'R':
        v->reverse = !v->reverse;
        break;
    case '<':
    case '>':
        v->sort = (enum top_column)((v->sort + (key == '<' ? TOP_COLUMNS - 1 : 1)) % TOP_COLUMNS);
        v->reverse = false;
        break;
    case '/':
        v->editing = true;
        break;
    case 27:
        if (v->tab != TOP_PROCESSES || v->details)
            show(v, TOP_PROCESSES);
        else
            v->filter[0] = v->selected[0] = '\0';
        break;
    case '\n':
    case '\r':
    case KEY_ENTER:
        enter(t);
        break;
    case KEY_UP:
    case KEY_DOWN:
        select_by(t, key == KEY_UP ? -1 : 1);
        break;
    case KEY_PPAGE:
    case KEY_NPAGE:
        select_by(t, key == KEY_PPAGE ? -10 : 10);
        break;
    case '+':
    case '-':
        change_interval(t, key == '+' ? 2 : 0.5);
        break;
    case ' ':
        look_again(t);
        break;
    default:
        break;
    }
    return true;
}

static void run(struct top *t)
{
    t->next_ms = clock_mono_ms() + (uint64_t)(t->view.interval_s * 1e3);
    while (ended == 0) {
        draw(t);
        uint64_t now = clock_mono_ms();
        timeout(now < t->next_ms ? (int)(t->next_ms - now) : 0);
        int key = getch();
        if (key != ERR && key != KEY_RESIZE && !on_key(t, key))
            return;
        if (clock_mono_ms() >= t->next_ms)
            look_again(t);
    }
}

static int run_screen(struct top *t)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        fprintf(stderr, "dray top: this is no terminal; try: dray top --once\n");
        return EXIT_CODE_USAGE;
    }
    SCREEN *screen = newterm(NULL, stdout, stdin);
    if (screen == NULL) {
        fprintf(stderr, "dray top: a terminal of type %s is not known; try: dray top --once\n",
                getenv("TERM") != NULL ? getenv("TERM") : "(none)");
        return EXIT_CODE_FAILURE;
    }
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction sa = {.sa_handler = on_signal}; /* getch is interrupted */
        (void)sigaction(signals[i], &sa, NULL);
    }
    cbreak();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    set_escdelay(25);
    (void)curs_set(0);
    start_colours(t);
    run(t);
    endwin();
    delscreen(screen);
    if (ended != 0) { /* the caller sees how it ended */
        (void)signal(ended, SIG_DFL);
        (void)raise(ended);
    }
    return EXIT_CODE_OK;
}

static int run_once(struct top *t, bool json)
{
    usleep((useconds_t)(t->view.interval_s * 1e6));
    int code = look(t, false);
    if (code == EXIT_CODE_TEMP)
        fprintf(stderr, "dray: %s does not answer\n", t->path);
    if (code != EXIT_CODE_OK)
        return code == EXIT_CODE_NOT_RUNNING ? code : EXIT_CODE_UNREACHABLE;
    if (json) {
        json_t *o = top_model_json(&t->model);
        json_dumpf(o, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(o);
        return EXIT_CODE_OK;
    }
    top_model_arrange(&t->model, t->view.sort, t->view.reverse, t->view.filter);
    top_page_make(&t->page, &t->model, &t->view, ONCE_WIDTH, 0);
    for (size_t i = 0; i < t->page.n; i++) {
        size_t n = strlen(t->page.lines[i].text);
        while (n > 0 && t->page.lines[i].text[n - 1] == ' ')
            n--;
        printf("%.*s\n", (int)n, t->page.lines[i].text);
    }
    return EXIT_CODE_OK;
}

static int arguments(struct top *t, struct cli *o, int argc, char **argv, bool *once)
{
    static const struct option longs[] = {{"delay", required_argument, NULL, 'd'},
                                          {"once", no_argument, NULL, CLI_OPT_OWN},
                                          CLI_LONG_OPTIONS,
                                          {0}};
    int opt;
    cli_init(o);
    t->view.interval_s = 1;
    while ((opt = getopt_long(argc, argv, CLI_SHORT_OPTIONS "d:", longs, NULL)) != -1) {
        int code = CLI_GO_ON;
        if (opt == CLI_OPT_OWN)
            *once = true;
        else if (opt == 'd' &&
                 (str_parse_double(optarg, &t->view.interval_s) != 0 ||
                  !(t->view.interval_s >= INTERVAL_MIN_S) || t->view.interval_s > INTERVAL_MAX_S))
            return cli_usage(argv[0], "-d %s: a number of seconds from 0.2 to 60", optarg);
        else if (opt != 'd')
            code = cli_option(o, opt, usage);
        if (code != CLI_GO_ON)
            return code;
    }
    if (optind < argc)
        return cli_usage(argv[0], "one word too many: %s", argv[optind]);
    if (o->json && !*once)
        return cli_usage(argv[0], "-o json goes with --once");
    return CLI_GO_ON;
}

int top_main(int argc, char **argv)
{
    struct top t = {0};
    struct cli o;
    bool once = false;
    int code = arguments(&t, &o, argc, argv, &once);
    if (code != CLI_GO_ON)
        return code;
    (void)setlocale(LC_CTYPE, "");
    top_model_init(&t.model);
    if ((code = client_find(&o, t.path)) != EXIT_CODE_OK)
        return code;
    code = look(&t, false);
    if (code == EXIT_CODE_OK)
        code = once ? run_once(&t, o.json) : run_screen(&t);
    else if (code != EXIT_CODE_NOT_RUNNING && code != EXIT_CODE_NOPERM)
        code = EXIT_CODE_UNREACHABLE;
    if (code == EXIT_CODE_UNREACHABLE && t.view.trouble != NULL)
        fprintf(stderr, "dray top: no answer at %s\n", t.path);
    top_page_fini(&t.page);
    top_model_fini(&t.model);
    return code;
}
