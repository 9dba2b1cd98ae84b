/* The experiment as a picture: bars of step time by links and strategy, and what goes through the
 * coordinator by number of peers. */
#include "tests/sim/experiment.h"

#include "common/fault.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum {
    WIDTH = 960,
    HEIGHT = 760,
    PANEL_WIDTH = 400,
    PANEL_HEIGHT = 240,
    STRATEGIES = 4,
    TICKS = 5
};

struct panel {
    double left, top, width, height;
};

struct series {
    const char *strategy, *batch, *label, *colour;
};

static const struct series bars[STRATEGIES] = {
    {"server", "small", "parameter server", "#8c8c8c"},
    {"all-reduce", "small", "all-reduce", "#d98c3f"},
    {"adaptive", "small", "adaptive", "#2f7ab8"},
    {"adaptive+mx4", "small", "adaptive, mx4 allowed", "#7fb8dd"}};

static const struct series curves[] = {
    {"server", "grown", "parameter server", "#8c8c8c"},
    {"adaptive", "grown,churn", "adaptive, churn, the coordinator repairs", "#c0504d"},
    {"adaptive+repair", "grown,churn", "adaptive, churn, owners repair", "#4f9d57"},
    {"adaptive", "grown", "adaptive, nobody leaves", "#2f7ab8"}};
enum { CURVES = sizeof curves / sizeof curves[0] };

static const struct experiment_line *find(const struct experiment_line *lines, size_t count,
                                          const struct experiment_case *like)
{
    for (size_t i = 0; i < count; i++) {
        const struct experiment_case *config = lines[i].config;
        if (strcmp(config->links, like->links) == 0 && strcmp(config->batch, like->batch) == 0 &&
            strcmp(config->strategy, like->strategy) == 0 &&
            strcmp(config->model->name, like->model->name) == 0 &&
            config->settings.overlap == like->settings.overlap &&
            (like->peer_count == 0 || config->peer_count == like->peer_count)) {
            return &lines[i];
        }
    }
    return NULL;
}

static struct experiment_case wanted(const struct series *series, const char *links,
                                     const struct experiment_model *model, bool overlap)
{
    struct experiment_case config = {.model = model, .settings = {.overlap = overlap}};
    (void)snprintf(config.links, sizeof config.links, "%s", links);
    (void)snprintf(config.batch, sizeof config.batch, "%s", series->batch);
    (void)snprintf(config.strategy, sizeof config.strategy, "%s", series->strategy);
    return config;
}

static void text(FILE *out, double x, double y, const char *anchor, const char *words)
{
    (void)fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor,
                  words);
}

static void line(FILE *out, double x1, double y1, double x2, double y2, const char *style)
{
    (void)fprintf(out, "<path d=\"M%.1f %.1fL%.1f %.1f\" %s/>\n", x1, y1, x2, y2, style);
}

/* 1, 2 or 5 times a power of ten, at least `value`. */
static double round_up(double value)
{
    double base = pow(10.0, floor(log10(value)));
    return value <= base         ? base
           : value <= 2.0 * base ? 2.0 * base
           : value <= 5.0 * base ? 5.0 * base
                                 : 10.0 * base;
}

static void axes(FILE *out, const struct panel *panel, const char *title, const char *unit)
{
    double bottom = panel->top + panel->height;
    (void)fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" font-weight=\"bold\">%s</text>\n", panel->left,
                  panel->top - 24.0, title);
    text(out, panel->left - 40.0, panel->top - 8.0, "start", unit);
    line(out, panel->left, panel->top, panel->left, bottom, "stroke=\"#333\"");
    line(out, panel->left, bottom, panel->left + panel->width, bottom, "stroke=\"#333\"");
}

static void draw_group(FILE *out, const struct panel *panel, double left, double width,
                       const struct experiment_line *const *group, double most)
{
    double bottom = panel->top + panel->height;
    double bar = width / (STRATEGIES + 1);
    for (size_t i = 0; i < STRATEGIES; i++) {
        if (group[i] == NULL) {
            continue;
        }
        const struct trial_result *result = &group[i]->result;
        double height = panel->height * result->step_s / most;
        double limit = bottom - panel->height * result->limit_s / most;
        double x = left + bar * ((double)i + 0.5);
        (void)fprintf(out,
                      "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n",
                      x, bottom - height, bar - 2.0, height, bars[i].colour);
        (void)fprintf(
            out, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"8\" text-anchor=\"middle\">%.1f</text>\n",
            x + bar / 2.0 - 1.0, bottom - height - 3.0, result->step_s);
        line(out, x - 1.0, limit, x + bar - 1.0, limit, "stroke=\"#111\" stroke-width=\"2\"");
    }
}

static void draw_steps(FILE *out, const struct panel *panel, const struct experiment_line *lines,
                       size_t count, const struct experiment_model *model, bool overlap)
{
    static const char *const links[] = {"A", "B", "C", "D"};
    static const char *const names[] = {"A: 1000 Mbit/s", "B: 100 Mbit/s", "C: 50 to 200",
                                        "D: C and 4 owners"};
    const struct experiment_line *groups[4][STRATEGIES];
    char title[96];
    double most = 0.0;
    for (size_t group = 0; group < 4; group++) {
        for (size_t i = 0; i < STRATEGIES; i++) {
            struct experiment_case config = wanted(&bars[i], links[group], model, overlap);
            groups[group][i] = find(lines, count, &config);
            most = groups[group][i] == NULL ? most : fmax(most, groups[group][i]->result.step_s);
        }
    }
    if (most == 0.0) {
        return;
    }
    most = round_up(most);
    (void)snprintf(title, sizeof title, "%s parameters, 48 samples a step, max_staleness %d",
                   model->name, overlap ? 1 : 0);
    axes(out, panel, title, "step, s");
    for (size_t i = 0; i <= TICKS; i++) {
        char label[32];
        double y = panel->top + panel->height * (1.0 - (double)i / TICKS);
        (void)snprintf(label, sizeof label, "%g", most * (double)i / TICKS);
        text(out, panel->left - 6.0, y + 4.0, "end", label);
        line(out, panel->left, y, panel->left + panel->width, y, "stroke=\"#ddd\"");
    }
    for (size_t group = 0; group < 4; group++) {
        double width = panel->width / 4.0;
        double left = panel->left + width * (double)group;
        draw_group(out, panel, left, width, groups[group], most);
        (void)fprintf(
            out, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"9\" text-anchor=\"middle\">%s</text>\n",
            left + width / 2.0, panel->top + panel->height + 14.0, names[group]);
    }
}

static void draw_curve(FILE *out, const struct panel *panel, const struct experiment_line *lines,
                       size_t count, const struct series *series)
{
    char path[512] = "";
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        struct experiment_case like = wanted(series, "mixed", lines[i].config->model, true);
        const struct experiment_line *same = find(&lines[i], 1, &like);
        if (same == NULL || same->result.stuck || strcmp(same->config->model->name, "18M") != 0) {
            continue;
        }
        double sizes = same->result.up_sizes_total + same->result.down_sizes_total;
        /* 10 to 10,000 peers, 0.5 to 5,000 model sizes. */
        double x =
            panel->left + panel->width * (log10((double)same->config->peer_count) - 1.0) / 3.0;
        double y = panel->top + panel->height * (1.0 - log10(sizes / 0.5) / 4.0);
        (void)fprintf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" fill=\"%s\"/>\n", x, y,
                      series->colour);
        used += (size_t)snprintf(path + used, sizeof path - used, "%s%.1f %.1f",
                                 used == 0 ? "M" : "L", x, y);
    }
    if (used > 0) {
        (void)fprintf(out, "<path d=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"/>\n",
                      path, series->colour);
    }
}

static void draw_traffic(FILE *out, const struct panel *panel, const struct experiment_line *lines,
                         size_t count)
{
    static const char *const sizes[] = {"0.5", "5", "50", "500", "5000"};
    static const char *const peers[] = {"10", "100", "1,000", "10,000"};
    axes(out, panel, "Through the coordinator, both ways, 18M parameters, mixed links",
         "model sizes a step (4 bytes a parameter)");
    for (size_t i = 0; i < 5; i++) {
        double y = panel->top + panel->height * (1.0 - (double)i / 4.0);
        text(out, panel->left - 6.0, y + 4.0, "end", sizes[i]);
        line(out, panel->left, y, panel->left + panel->width, y, "stroke=\"#ddd\"");
    }
    for (size_t i = 0; i < 4; i++) {
        double x = panel->left + panel->width * (double)i / 3.0;
        text(out, x, panel->top + panel->height + 16.0, "middle", peers[i]);
    }
    text(out, panel->left + panel->width, panel->top + panel->height + 32.0, "end", "peers");
    for (size_t i = 0; i < CURVES; i++) {
        draw_curve(out, panel, lines, count, &curves[i]);
    }
}

static void legend(FILE *out, double left, double top, const struct series *series, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"12\" height=\"12\" fill=\"%s\"/>\n",
                      left, top + 20.0 * (double)i, series[i].colour);
        text(out, left + 18.0, top + 11.0 + 20.0 * (double)i, "start", series[i].label);
    }
}

static void draw(FILE *out, const struct experiment_line *lines, size_t count)
{
    const struct experiment_model *small = lines[0].config->model;
    const struct experiment_model *large = small;
    for (size_t i = 0; i < count; i++) {
        large = lines[i].config->model->value_count > small->value_count ? lines[i].config->model
                                                                         : large;
    }
    struct panel panel = {60.0, 60.0, PANEL_WIDTH, PANEL_HEIGHT};
    (void)fprintf(out,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
                  "height=\"%d\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n"
                  "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
                  WIDTH, HEIGHT, WIDTH, HEIGHT);
    draw_steps(out, &panel, lines, count, small, true);
    panel.left += PANEL_WIDTH + 70.0;
    draw_steps(out, &panel, lines, count, large, large == small ? false : true);
    legend(out, 60.0, 335.0, bars, 2);
    legend(out, 220.0, 335.0, bars + 2, 2);
    line(out, 420.0, 341.0, 436.0, 341.0, "stroke=\"#111\" stroke-width=\"2\"");
    text(out, 442.0, 346.0, "start", "what the links and machines allow at all");
    panel = (struct panel){60.0, 430.0, 520.0, 270.0};
    draw_traffic(out, &panel, lines, count);
    legend(out, 620.0, 470.0, curves, CURVES);
    (void)fprintf(out, "</svg>\n");
}

enum status experiment_write_svg(const struct experiment_line *lines, size_t count,
                                 const char *path)
{
    FILE *out = fopen(path, "w");
    if (out != NULL) {
        draw(out, lines, count);
    }
    bool failed = out == NULL || ferror(out) != 0;
    if (out != NULL && fclose(out) != 0) {
        failed = true;
    }
    if (failed) {
        return fault(STATUS_CANNOT_CREATE,
                     "%s cannot be written: %s. Name another file with --svg.", path,
                     strerror(errno));
    }
    return STATUS_OK;
}
