/* exitcode - the table of exit statuses (exitcode.def) as an enum and as sentences. */
#ifndef DRAY_COMMON_BASE_EXITCODE_H
#define DRAY_COMMON_BASE_EXITCODE_H

enum exitcode {
#define X(code, name, class, sentence) EXIT_CODE_##name = (code),
#include "common/base/exitcode.def"
#undef X
};

enum exit_class { EXIT_CLASS_OK, EXIT_CLASS_RETRY, EXIT_CLASS_PERMANENT, EXIT_CLASS_IMMEDIATE };

/* An unknown code is RETRY with the sentence "unknown exit code". */
enum exit_class exitcode_class(int code);
const char *exitcode_name(int code);
const char *exitcode_sentence(int code);

#endif
