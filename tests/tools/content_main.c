/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the files that surf asks for, and tells what is in them without making them (content.h).
 *
 *     content write DIR PATH...    writes DIR/PATH for each, with the directories on the way; "-": paths from stdin
 *     content sum PATH...          "SHA-256  PATH" for each, as sha256sum would print it
 *     content cat PATH             the bytes to stdout
 *     content post PATH SIZE       the bytes that surf sends as the body of a POST of SIZE to PATH
 *
 * A file appears whole (it is written beside and renamed), so a server may be running. Status 0; 1 if a file could not
 * be written; 2 for a path without a size or another mistake of the caller.
 */
#include "content.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t size_of(const char *path)
{
    uint64_t size;
    if (!content_size(path, &size)) {
        fprintf(stderr, "content: %s: not a path with a size, like /a/17-65536.bin\n", path);
        exit(2);
    }
    return size;
}

/* The stream of a name into a file; false with errno. */
static bool copy(const char *name, uint64_t size, FILE *to)
{
    static char block[65536];
    struct content c = content_of(name);
    while (c.at < size) {
        size_t n = size - c.at < sizeof(block) ? (size_t)(size - c.at) : sizeof(block);
        content_fill(&c, block, n);
        if (fwrite(block, 1, n, to) != n)
            return false;
    }
    return fflush(to) == 0;
}

static bool make_directories(char *file)
{
    for (char *slash = strchr(file + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        bool made = mkdir(file, 0755) == 0 || errno == EEXIST;
        *slash = '/';
        if (!made)
            return false;
    }
    return true;
}

static bool write_file(const char *dir, const char *path)
{
    char name[4096], beside[4096 + 8];
    uint64_t size = size_of(path);
    int n = snprintf(name, sizeof(name), "%s%.*s", dir, (int)strcspn(path, "?"), path);
    if (n < 0 || (size_t)n >= sizeof(name)) {
        errno = ENAMETOOLONG;
        return false;
    }
    snprintf(beside, sizeof(beside), "%s.new", name);
    if (!make_directories(name))
        return false;
    FILE *f = fopen(beside, "wb");
    if (!f)
        return false;
    bool good = copy(path, size, f);
    good = fclose(f) == 0 && good && rename(beside, name) == 0;
    if (!good)
        unlink(beside);
    return good;
}

static int write_or_say(const char *dir, const char *path)
{
    if (write_file(dir, path))
        return 0;
    fprintf(stderr, "content: %s%s: %s\n", dir, path, strerror(errno));
    return 1;
}

static int write_all(const char *dir, char **paths)
{
    char line[4096];
    int failed = 0;
    for (; *paths; paths++) {
        if (strcmp(*paths, "-") != 0) {
            failed |= write_or_say(dir, *paths);
            continue;
        }
        while (fgets(line, sizeof(line), stdin)) {
            line[strcspn(line, "\r\n")] = '\0';
            char *space = strrchr(line, ' '); /* surf's lines: "host path" */
            if (line[0] && line[0] != '#')
                failed |= write_or_say(dir, space ? space + 1 : line);
        }
    }
    return failed;
}

static int to_stdout(const char *name, uint64_t size)
{
    if (copy(name, size, stdout))
        return 0;
    perror("content");
    return 1;
}

static int post(const char *path, const char *size)
{
    char name[4096], *end;
    uint64_t bytes = strtoull(size, &end, 10);
    if (*end || end == size)
        return 2;
    snprintf(name, sizeof(name), "POST %s", path);
    return to_stdout(name, bytes);
}

int main(int argc, char **argv)
{
    if (argc >= 4 && strcmp(argv[1], "write") == 0)
        return write_all(argv[2], argv + 3);
    if (argc == 3 && strcmp(argv[1], "cat") == 0)
        return to_stdout(argv[2], size_of(argv[2]));
    if (argc == 4 && strcmp(argv[1], "post") == 0)
        return post(argv[2], argv[3]);
    if (argc >= 3 && strcmp(argv[1], "sum") == 0) {
        for (int i = 2; i < argc; i++) {
            char hex[65];
            content_sum(argv[i], size_of(argv[i]), hex);
            printf("%s  %s\n", hex, argv[i]);
        }
        return 0;
    }
    fprintf(stderr, "usage: content write DIR PATH... | sum PATH... | cat PATH | post PATH SIZE\n");
    return 2;
}
