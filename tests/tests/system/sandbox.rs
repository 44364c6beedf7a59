//! Rights of processes. The scenarios are in `guests/sandbox.rs`.

use lunatic_host::rights::net::Rule;
use lunatic_tests::folders;
use lunatic_tests::host::Program;

/// With links that lead out of `/data`, for those who try to follow them.
fn with_folders(program: Program<'_>, judge: impl FnOnce(Program<'_>)) {
    folders::with_folders(|data, ro| {
        for (target, link) in [("/dev/zero", "zero"), ("/proc", "proc"), ("/etc/passwd", "absolute")] {
            std::os::unix::fs::symlink(target, data.join(link)).unwrap();
        }
        judge(program.dir(data, "/data", false).dir(ro, "/ro", true));
    });
}

fn rules(rules: &[&str]) -> Vec<Rule> {
    rules.iter().map(|rule| rule.parse().unwrap()).collect()
}

fn run_with_everything(program: Program<'_>) {
    let program = program.env("COLOUR", "green").net(rules(&["*"]));
    with_folders(program, |program| _ = program.run().normal());
}

crate::scenarios! {
    "sandbox":
    a_configured_child_has_nothing => |program| {
        let program = program.env("COLOUR", "green").net(rules(&["*"]));
        with_folders(program, |program| assert_eq!(program.run().normal().stdout, "but it may print\n"));
    },
    a_child_that_inherits_has_everything => |program| run_with_everything(program),
    folders_are_narrowed => |program| run_with_everything(program),
    folders_outside_are_denied => |program| run_with_everything(program),
    environment_and_arguments => |program| run_with_everything(program),
    standard_input_can_be_given_away => |program| _ = program.stdin("for the child").run().normal(),
    output_can_be_discarded => |program| {
        let ended = program.run().normal();
        assert_eq!((&*ended.stdout, &*ended.stderr), ("seen\n", "seen on error\n"));
    },
    clocks_and_random_numbers_can_be_fixed => |program| _ = program.run().normal(),
    network_rules_are_narrowed => |program| {
        _ = program.net(rules(&["127.0.0.0/8", "a.b.org", "bind:127.0.0.1"])).run().normal();
    },
    rights_cannot_be_won_back => |program| _ = program.quiet().run().normal(),
    bad_configurations => |program| run_with_everything(program),
    names_can_be_denied => |program| _ = program.run().normal(),
    memory_of_a_subtree => |program| _ = program.quiet().run().normal(),
    processes_of_a_subtree => |program| _ = program.run().normal(),
    time_of_a_subtree => |program| _ = program.run().normal(),
    timers_use_up_the_budget_of_a_child_that_sleeps => |program| _ = program.quiet().run().normal(),
    the_share_of_a_core => |program| _ = program.run().normal(),
    the_share_of_a_core_is_for_timers_too => |program| _ = program.run().normal(),
    a_spawn_bomb_leaves_others_alone => |program| _ = program.quiet().run().normal(),
    use_is_told => |program| _ = program.run().normal(),
    open_files_are_limited => |program| run_with_everything(program),
    many_children_with_one_configuration => |program| run_with_everything(program),
    denials => |program| with_folders(program.log_denials(), |program| {
        let ended = program.run().normal();
        for line in [
            "(main) may not open \"link\" (--dir HOST::GUEST would allow it)\n",
            " may not spawn\n",
            " may not register the name \"x\"\n",
            "(main) may not configure a child so: the folder /etc cannot be given to a child: it is not in a folder of the parent\n",
        ] {
            assert!(ended.stderr.contains(line), "{line}\nis not in\n{}", ended.stderr);
        }
    }),
    escapes => |program| run_with_everything(program),
    output_can_be_captured => |program| {
        let ended = program.quiet().run().normal();
        assert_eq!((&*ended.stdout, &*ended.stderr), ("", ""), "what is captured comes out nowhere else");
    },
    modules_can_be_compiled_and_denied => |program| _ = program.quiet().run().normal(),
    components_can_be_compiled => |program| _ = program.quiet().run().normal(),
}
