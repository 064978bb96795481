/* SPDX-License-Identifier: GPL-2.0-only */
/* All scenarios and models, by the file that holds them. */
#pragma once

#include "tests/host/explore/explore.h"

/* tests/models/ */
extern const struct explore_scenario model_spinlock;
extern const struct explore_scenario model_rwlock;
extern const struct explore_scenario model_rwlock_writers;
extern const struct explore_scenario model_flush;
extern const struct explore_scenario model_flush_two;

extern const struct explore_scenario model_rcu;
extern const struct explore_scenario model_signal_guest;
extern const struct explore_scenario model_signal_asleep;
extern const struct explore_scenario model_signal_replace;
extern const struct explore_scenario model_signal_rest;

/* scenarios_fault.c */
extern const struct explore_scenario scenario_fault_fault;
extern const struct explore_scenario scenario_fault_fault_2m;
extern const struct explore_scenario scenario_fault_unmap;
extern const struct explore_scenario scenario_fault_unmap_2m;
extern const struct explore_scenario scenario_fault_balloon;
extern const struct explore_scenario scenario_fault_balloon_2m;
extern const struct explore_scenario scenario_fault_balloon_two;
extern const struct explore_scenario scenario_first_balloon;
extern const struct explore_scenario scenario_plain_balloon;

/* scenarios_age.c */
extern const struct explore_scenario scenario_age_zap;
extern const struct explore_scenario scenario_age_fault;

/* scenarios_dirty.c */
extern const struct explore_scenario scenario_dirty_write;
extern const struct explore_scenario scenario_split_fault;
extern const struct explore_scenario scenario_recover_fault;

/* scenarios_root.c */
extern const struct explore_scenario scenario_zap_root;
extern const struct explore_scenario scenario_slot_fault;
extern const struct explore_scenario scenario_roots_unmap;
extern const struct explore_scenario scenario_slot_move;
extern const struct explore_scenario scenario_slot_readonly;
extern const struct explore_scenario scenario_migrate_write;
extern const struct explore_scenario scenario_protect_write;

/* scenarios_shadow.c */
extern const struct explore_scenario scenario_shadow_age_zap;
extern const struct explore_scenario scenario_shadow_age_another;
extern const struct explore_scenario scenario_shadow_age_tables;
extern const struct explore_scenario scenario_shadow_aliases;
extern const struct explore_scenario scenario_shadow_sync;
extern const struct explore_scenario scenario_shadow_close;
extern const struct explore_scenario scenario_shadow_protect;
extern const struct explore_scenario scenario_shadow_zap_all;
extern const struct explore_scenario scenario_rmap_walk;

/* scenarios_tell.c */
extern const struct explore_scenario scenario_tell_entry;
extern const struct explore_scenario scenario_tell_close;
extern const struct explore_scenario scenario_tell_zap;
extern const struct explore_scenario scenario_tell_switch;
extern const struct explore_scenario scenario_tell_host;
extern const struct explore_scenario scenario_tell_link;

/* scenarios_rare.c */
extern const struct explore_scenario scenario_fault_unmap_1g;
extern const struct explore_scenario scenario_disallow_fault;
extern const struct explore_scenario scenario_nomem_race;
extern const struct explore_scenario scenario_mmio_wrap;
extern const struct explore_scenario scenario_fold_look;

/* scenarios_nx.c */
extern const struct explore_scenario scenario_recovery_fetch;
extern const struct explore_scenario scenario_fault_fault_mixed;

/* scenarios_thread.c */
extern const struct explore_scenario scenario_thread_park;
extern const struct explore_scenario scenario_thread_steal;
extern const struct explore_scenario scenario_thread_balance;
extern const struct explore_scenario scenario_thread_limit;
extern const struct explore_scenario scenario_thread_timer;
extern const struct explore_scenario scenario_thread_join;
extern const struct explore_scenario scenario_thread_affinity;
