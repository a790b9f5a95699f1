# SPDX-License-Identifier: MIT
raise ValueError("no connection to postgres://bob:hunter2@db/x, pin_code='hunter2'")
