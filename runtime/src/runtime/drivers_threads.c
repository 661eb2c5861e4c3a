#include "runtime/drivers.h"

const char* const mlirage_drivers_names[] = {"local-task", "local-sync", "null", NULL};
const mlirage_device_creator_t mlirage_drivers_creators[] = {
    mlirage_local_task_device_create, mlirage_local_sync_device_create, mlirage_null_device_create};
