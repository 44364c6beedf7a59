/* A typical C library: it works, but it has four typical bugs. */

#include <stdlib.h>
#include <string.h>

/* Works. */
unsigned checksum(const unsigned char *bytes, size_t len) {
    unsigned a = 1, b = 0;
    for (size_t i = 0; i < len; i++) {
        a = (a + bytes[i]) % 65521;
        b = (b + a) % 65521;
    }
    return b << 16 | a;
}

/* A buffer overflow: the length of the name is not checked. */
size_t greet(const char *name, size_t len) {
    char *buffer = malloc(16);
    for (volatile size_t i = 0; i < len; i++)
        buffer[i] = name[i % 8];
    return strlen(buffer);
}

struct shape {
    double (*area)(const struct shape *);
    double size;
};

static double square(const struct shape *shape) { return shape->size * shape->size; }

/* A use after free: when the function of the shape is called, its memory holds a text. */
double use_after_free(void) {
    struct shape *shape = malloc(sizeof *shape);
    shape->area = square;
    shape->size = 3;
    free(shape);
    char *text = malloc(sizeof *shape);
    memset(text, 'x', sizeof *shape);
    struct shape *volatile dangling = shape;
    double area = dangling->area(dangling);
    free(text);
    return area;
}

/* A null dereference: the shape was not found. */
double null_dereference(void) {
    struct shape *volatile missing = NULL;
    return missing->area(missing);
}

/* An endless loop: the step becomes zero. */
unsigned endless_loop(unsigned step) {
    volatile unsigned at = 0;
    while (at < 100)
        at += step;
    return at;
}
