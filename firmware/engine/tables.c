/* The tables that the build made from the model, in flash. */
#include "tables.h"

#include "model_tables.h"
