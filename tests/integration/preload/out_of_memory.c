/* SPDX-License-Identifier: MIT */
/* LD_PRELOAD: memory that ends when a test says so. The file named by OUT_OF_MEMORY is shared with the
 * test: the first word counts the allocations that still succeed (negative: all do), the second those
 * that failed. Once the count is down, every further one fails. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *ptr, size_t size);

struct account {
    int64_t left, failed;
};

static struct account *account;

__attribute__((constructor)) static void open_account(void)
{
    const char *path = getenv("OUT_OF_MEMORY");
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) {
        return;
    }
    void *page = mmap(NULL, sizeof(*account), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    account = page != MAP_FAILED ? page : NULL;
    close(fd);
}

static int is_out(void)
{
    if (account == NULL || __atomic_load_n(&account->left, __ATOMIC_SEQ_CST) < 0) {
        return 0;
    }
    if (__atomic_load_n(&account->left, __ATOMIC_SEQ_CST) > 0) {
        __atomic_sub_fetch(&account->left, 1, __ATOMIC_SEQ_CST);
        return 0;
    }
    __atomic_add_fetch(&account->failed, 1, __ATOMIC_SEQ_CST);
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size)
{
    return is_out() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return is_out() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *ptr, size_t size)
{
    return is_out() ? NULL : __libc_realloc(ptr, size);
}
