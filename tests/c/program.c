/* An ordinary C program, as it was written for Unix: it sorts the lines of its input, and says how many there are in the
   file that its argument names. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

int main(int argc, char **argv) {
    char *lines[1000], line[256];
    int count = 0;
    while (count < 1000 && fgets(line, sizeof line, stdin)) lines[count++] = strdup(line);
    qsort(lines, count, sizeof *lines, compare);
    for (int i = 0; i < count; i++) fputs(lines[i], stdout);
    FILE *file = fopen(argc > 1 ? argv[1] : "", "w");
    if (!file) {
        fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
        return 3;
    }
    fprintf(file, "%d lines, %.2f on average\n", count, 1.0 / 3);
    fclose(file);
    return 0;
}
