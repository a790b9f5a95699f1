/* SPDX-License-Identifier: MIT */
/*
 * `slither completion bash|zsh`: the completion scripts, made from the command and option tables so that they cannot
 * disagree.
 */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "status.h"

#define EXAMPLE_NAMES "text_analysis batch_stats data_etl ml_scoring image_pipeline"

/* ---- bash ---- */

/* The words that an option offers, or a list of files; other arguments are the user's to type. */
static void print_bash_value(const struct option_spec *spec) {
    switch (spec->kind) {
    case OPTION_CHOICE:
    case OPTION_CUSTOM:
    case OPTION_TEXT:
        if (spec->choices == NULL) {
            break;
        }
        fputs("            COMPREPLY=($(compgen -W \"", stdout);
        for (size_t i = 0; spec->choices[i] != NULL; i++) {
            printf("%s%s", i == 0 ? "" : " ", spec->choices[i]);
        }
        puts("\" -- \"$cur\"))");
        return;
    case OPTION_FILE:
        puts("            compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")");
        return;
    case OPTION_DIRECTORY:
        puts("            compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- \"$cur\")");
        return;
    default:
        break;
    }
    puts("            COMPREPLY=()");
}

static void print_bash_command(const struct command *command) {
    printf("_slither_%s() {\n"
           "    local cur=$1 prev=$2\n"
           "    case $prev in\n",
           command->name);
    for (const struct option_spec *spec = command->options; spec->name != NULL; spec++) {
        if (!option_is_heading(spec) && spec->argument != NULL) {
            printf("        --%s", spec->name);
            if (spec->letter != 0) {
                printf(" | -%c", spec->letter);
            }
            puts(")");
            print_bash_value(spec);
            puts("            return\n"
                 "            ;;");
        }
    }
    fputs("    esac\n"
          "    if [[ $cur == -* ]]; then\n"
          "        COMPREPLY=($(compgen -W \"",
          stdout);
    bool first = true;
    for (const struct option_spec *spec = command->options; spec->name != NULL; spec++) {
        if (!option_is_heading(spec)) {
            printf("%s--%s", first ? "" : " ", spec->name);
            first = false;
        }
    }
    puts("\" -- \"$cur\"))\n"
         "        return\n"
         "    fi");
    switch (command->operands) {
    case OPERAND_FUNCTION_AND_FILE:
        /* The modules of the current directory, up to the colon; after a colon bash has begun a new word. */
        puts("    compopt -o filenames\n"
             "    mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
             "    local module\n"
             "    for module in *.py; do\n"
             "        module=${module%.py}\n"
             "        if [[ $module != '*' && $module == \"$cur\"* ]]; then\n"
             "            COMPREPLY+=(\"$module:\")\n"
             "            compopt -o nospace\n"
             "        fi\n"
             "    done");
        break;
    case OPERAND_COMMAND:
        puts("    COMPREPLY=($(compgen -W \"$_slither_commands\" -- \"$cur\"))");
        break;
    case OPERAND_SHELL:
        puts("    COMPREPLY=($(compgen -W \"bash zsh\" -- \"$cur\"))");
        break;
    case OPERAND_STORE:
        puts("    if [[ ${COMP_WORDS[COMP_CWORD - 1]} == store ]]; then\n"
             "        COMPREPLY=($(compgen -W \"ls stat get put delete scan load dump\" -- \"$cur\"))\n"
             "    else\n"
             "        compopt -o filenames\n"
             "        mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
             "    fi");
        break;
    case OPERAND_PIPE_AND_FILE:
        puts("    compopt -o filenames\n"
             "    mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")");
        break;
    case OPERAND_EXAMPLE:
        puts("    COMPREPLY=($(compgen -W \"" EXAMPLE_NAMES "\" -- \"$cur\"))");
        break;
    case OPERAND_NONE:
        break;
    }
    puts("}\n");
}

static void print_bash(void) {
    fputs("# bash completion for slither; made by 'slither completion bash'.\n"
          "# shellcheck shell=bash disable=SC2207\n"
          "\n"
          "_slither_commands=\"",
          stdout);
    for (size_t i = 0; i < command_count; i++) {
        printf("%s%s", i == 0 ? "" : " ", commands[i]->name);
    }
    puts("\"\n");
    for (size_t i = 0; i < command_count; i++) {
        print_bash_command(commands[i]);
    }
    puts("_slither() {\n"
         "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
         "    COMPREPLY=()\n"
         "    # bash splits --option=value into three words.\n"
         "    if [[ $prev == '=' ]] && ((COMP_CWORD >= 2)); then\n"
         "        prev=${COMP_WORDS[COMP_CWORD - 2]}\n"
         "    elif [[ $cur == '=' ]]; then\n"
         "        cur=\n"
         "    fi\n"
         "    if ((COMP_CWORD == 1)); then\n"
         "        COMPREPLY=($(compgen -W \"$_slither_commands --version --help\" -- \"$cur\"))\n"
         "        return\n"
         "    fi\n"
         "    case ${COMP_WORDS[1]} in");
    for (size_t i = 0; i < command_count; i++) {
        printf("        %s) _slither_%s \"$cur\" \"$prev\" ;;\n", commands[i]->name, commands[i]->name);
    }
    puts("    esac\n"
         "}\n"
         "\n"
         "complete -F _slither slither");
}

/* ---- zsh ---- */

/* Inside '...' of an _arguments spec: quotes end it, colons and brackets mean something. */
static void print_zsh_text(const char *text) {
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            fputs("'\\''", stdout);
        } else {
            if (strchr("[]:\\", *text) != NULL) {
                putchar('\\');
            }
            putchar(*text);
        }
    }
}

static void print_zsh_value(const struct option_spec *spec) {
    putchar(':');
    print_zsh_text(spec->argument);
    putchar(':');
    switch (spec->kind) {
    case OPTION_CHOICE:
    case OPTION_CUSTOM:
    case OPTION_TEXT:
        if (spec->choices != NULL) {
            putchar('(');
            for (size_t i = 0; spec->choices[i] != NULL; i++) {
                printf("%s", i == 0 ? "" : " ");
                print_zsh_text(spec->choices[i]);
            }
            putchar(')');
        }
        break;
    case OPTION_FILE:
        fputs("_files", stdout);
        break;
    case OPTION_DIRECTORY:
        fputs("_files -/", stdout);
        break;
    default:
        putchar(' ');
        break;
    }
}

static void print_zsh_option(const struct option_spec *spec) {
    bool repeats = spec->kind == OPTION_DIRECTORY || spec->kind == OPTION_COUNTER ||
                   (spec->kind == OPTION_CUSTOM && spec->choices == NULL);
    for (int form = spec->letter != 0 ? 0 : 1; form < 2; form++) {
        fputs("                '", stdout);
        if (repeats) {
            putchar('*');
        } else if (spec->letter != 0) {
            printf("(-%c --%s)", spec->letter, spec->name);
        }
        if (form == 0) {
            printf("-%c%s[", spec->letter, spec->argument != NULL ? "+" : "");
        } else {
            printf("--%s%s[", spec->name, spec->argument != NULL ? "=" : "");
        }
        print_zsh_text(spec->help);
        putchar(']');
        if (spec->argument != NULL) {
            print_zsh_value(spec);
        }
        puts("' \\");
    }
}

static void print_zsh(void) {
    puts("#compdef slither\n"
         "# zsh completion for slither; made by 'slither completion zsh'.\n"
         "\n"
         "_slither_functions() {\n"
         "    local -a modules\n"
         "    modules=(*.py(N:r))\n"
         "    compadd -S ':' -a modules\n"
         "}\n"
         "\n"
         "_slither() {\n"
         "    local curcontext=$curcontext state line\n"
         "    local -a commands\n"
         "    commands=(");
    for (size_t i = 0; i < command_count; i++) {
        printf("        '%s:", commands[i]->name);
        print_zsh_text(commands[i]->summary);
        puts("'");
    }
    puts("    )\n"
         "    _arguments -C \\\n"
         "        '(- *)--version[Show the version and exit]' \\\n"
         "        '(- *)--help[Show help and exit]' \\\n"
         "        '1:command:->command' \\\n"
         "        '*::argument:->argument' && return\n"
         "    case $state in\n"
         "    command) _describe -t commands command commands ;;\n"
         "    argument)\n"
         "        case $words[1] in");
    for (size_t i = 0; i < command_count; i++) {
        printf("        %s)\n"
               "            _arguments -s -S \\\n",
               commands[i]->name);
        for (const struct option_spec *spec = commands[i]->options; spec->name != NULL; spec++) {
            if (!option_is_heading(spec)) {
                print_zsh_option(spec);
            }
        }
        switch (commands[i]->operands) {
        case OPERAND_FUNCTION_AND_FILE:
            puts("                '1:function:_slither_functions' \\\n"
                 "                '2:input:_files'");
            break;
        case OPERAND_COMMAND:
            puts("                '1:command:->command' && return\n"
                 "            [[ $state == command ]] && _describe -t commands command commands");
            break;
        case OPERAND_SHELL:
            puts("                '1:shell:(bash zsh)'");
            break;
        case OPERAND_STORE:
            puts("                '1:what:(ls stat get put delete scan load dump)' \\\n"
                 "                '2:store:_files -/' \\\n"
                 "                '3:table: ' \\\n"
                 "                '4:file:_files'");
            break;
        case OPERAND_PIPE_AND_FILE:
            puts("                '1:pipe:_files -g \"*.y(a|)ml\"' \\\n"
                 "                '2:input:_files'");
            break;
        case OPERAND_EXAMPLE:
            puts("                '*:example:(" EXAMPLE_NAMES ")'");
            break;
        case OPERAND_NONE:
            puts("                ':'");
            break;
        }
        puts("            ;;");
    }
    puts("        esac\n"
         "        ;;\n"
         "    esac\n"
         "}\n"
         "\n"
         "if [[ $funcstack[1] == _slither ]]; then\n"
         "    _slither \"$@\"\n"
         "else\n"
         "    compdef _slither slither\n"
         "fi");
}

/* ---- the command ---- */

static const struct option_spec completion_options[] = {
    OPTION_HELP,
    OPTION_END,
};

static int run_completion(int argc, char **argv) {
    char problem[OPTION_PROBLEM_SIZE];
    int first;
    enum options_result parsed = options_parse(completion_options, argc, argv, NULL, &first, problem);
    if (parsed != OPTIONS_OK) {
        return command_answer(&completion_command, parsed, problem);
    }
    if (argc - first != 1) {
        return usage_error(&completion_command, "expected the name of a shell, bash or zsh");
    }
    if (strcmp(argv[first], "bash") == 0) {
        print_bash();
    } else if (strcmp(argv[first], "zsh") == 0) {
        print_zsh();
    } else {
        return usage_error(&completion_command, "no completion for '%.60s': expected bash or zsh", argv[first]);
    }
    return finish_stdout();
}

const struct command completion_command = {
    .name = "completion",
    .synopsis = "bash|zsh",
    .summary = "print a completion script for a shell",
    .description = "For bash:  source <(slither completion bash)\n"
                   "For zsh:   source <(slither completion zsh), after compinit\n"
                   "'make install' puts both where the shells find them.\n",
    .options = completion_options,
    .operands = OPERAND_SHELL,
    .run = run_completion,
};
