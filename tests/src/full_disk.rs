use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use crate::place::{Place, Said, assay, python, repository, told as number};

const FULL: &str = "No space left on device";

/// What both stories need: a lake on a small disk, and words for what is done to it.
const WORDS: &str = r#"
set -eu
mkdir -p "$ASSAY_LAKE"
mount -t tmpfs -o size="$SIZE" lake "$ASSAY_LAKE"
more_room() { mount -o remount,size="$1" "$ASSAY_LAKE"; }
fill() { dd if=/dev/zero of="$ASSAY_LAKE/filler" bs=64k 2>/dev/null || true; }
is_right() { "$PYTHON" "$CHECK" "$ASSAY_LAKE" retail sales/expected.json; }
# Everything that is in the one file of events is in silver, or known for a duplicate.
is_in() {
	size=$(stat -c %s events/sales.ndjson)
	"$ASSAY" source show retail | awk -F '\t' -v size="$size" '$4 == size && $6 == size && $7 == size { in_it = 1 } END { exit !in_it }'
}
# Nothing may be written just then.
read_only() { until mount -o remount,ro "$ASSAY_LAKE" 2>/dev/null; do sleep 0.02; done; }
says_more() { [ "$(grep -c "$1" host.log || true)" -gt "$2" ]; } # says_more WORDS THAN
gives_up() { # gives_up LOG
	code=0
	timeout 60 "$ASSAY" run "$PIPELINE" --until-caught-up 2>"$1" || code=$?
	[ $code = 1 ] || { echo "a run on a full disk ended with $code"; tail -n 5 "$1"; exit 1; }
}
wait_for() { # wait_for WHAT COMMAND…
	what=$1 tries=0
	shift
	until "$@" >waited.log 2>&1; do
		tries=$((tries + 1))
		[ $tries -le 120 ] || { echo "$what: not in time"; cat waited.log host.log; exit 1; }
		kill -0 $host || { echo "$what: the host is gone"; cat host.log; exit 1; }
		sleep 0.5
	done
}
"#;

/// Tells a story in a mount namespace of its own, so that nothing stays mounted, and with process
/// ids of its own, so that nothing stays running. `None`, loudly, where mounting is not permitted.
fn told(place: &Place, pipeline: &Path, size: &str, story: &str) -> Option<Said> {
    let alone = ["--mount", "--pid", "--fork", "--kill-child", "sh", "-c"];
    let probe = "mount -t tmpfs -o size=64k probe /mnt";
    let probed = Command::new("unshare").args(alone).arg(probe).output();
    if !probed.is_ok_and(|probed| probed.status.success()) {
        // Past the test's own output, which is shown for failures only.
        let skipped = "\n!!! NOT TESTED: a full disk. Mounting is not permitted: run as root.\n";
        std::io::stderr().write_all(skipped.as_bytes()).unwrap();
        return None;
    }
    let output = Command::new("unshare")
        .args(alone)
        .arg(format!("{WORDS}{story}"))
        .current_dir(place.path())
        .env("ASSAY", assay())
        .env("ASSAY_LAKE", place.lake())
        .env_remove("ASSAY_LOG")
        .env("PIPELINE", pipeline)
        .env("SIZE", size)
        .env("TIMES", times().to_string())
        .env("PYTHON", python())
        .env(
            "CHECK",
            repository().join("tests/readers/check_expected.py"),
        )
        .output()
        .unwrap();
    Some(output.into())
}

/// How often the disk is full, and how often read-only.
fn times() -> u64 {
    number("ASSAY_DISK_TIMES").unwrap_or(1)
}

fn sales(place: &Place, count: &str) {
    let shares = ["--conflicts", "0.002", "--returns", "0.02"];
    let arguments = ["generate", "sales", "--count", count, "--stores", "10"];
    place.assay(&[&arguments[..], &shares].concat()).well();
}

const SMALL_BATCHES: (&str, &str) = ("\n[event]", "\n[batch]\nrows = 1000\n\n[event]");
const QUICK_GOLD: (&str, &str) = ("every = \"5s\"", "every = \"300ms\"");

/// The sentence with which a run gave up names what of the lake could not be written, and why.
fn is_clear(place: &Place, log: &str, file: &str) {
    let log = std::fs::read_to_string(place.path().join(log)).unwrap();
    let error = log.lines().find(|line| line.contains("gave up after"));
    let error = error.unwrap_or_else(|| panic!("it did not give up: {log}"));
    for part in ["tenant retail", &format!("could not write {file}"), FULL] {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
}

#[test]
fn a_run_that_fills_the_disk_says_so_and_goes_on_where_it_was_once_there_is_room() {
    let place = Place::new();
    sales(&place, "20000");
    let events = place.path().join("sales/events");
    let pipeline = place.retail_from_files(&events, &[SMALL_BATCHES, QUICK_GOLD]);
    let story = r#"
gives_up full.log
more_room 64m
"$ASSAY" run "$PIPELINE" --until-caught-up
"$ASSAY" verify
is_right
"#;
    let Some(said) = told(&place, &pipeline, "3m", story) else {
        return;
    };
    let books = said.well();
    assert!(books.contains("the books balance"), "{books}");
    assert!(books.contains("OK 20000 events"), "{books}");
    is_clear(&place, "full.log", "retail/");
}

#[test]
fn a_host_that_runs_waits_out_a_full_disk() {
    let place = Place::new();
    sales(&place, "6000");
    let all = std::fs::read_to_string(place.path().join("sales/events/sales.ndjson")).unwrap();
    let lines: Vec<&str> = all.split_inclusive('\n').collect();
    for (part, lines) in lines.chunks(2000).enumerate() {
        place.write(&format!("part{part}"), lines.concat());
    }
    let events = place.write("events/sales.ndjson", lines[..2000].concat());
    let pipeline = place.retail_from_files(&events, &[SMALL_BATCHES, QUICK_GOLD]);
    let story = r#"
"$ASSAY" run "$PIPELINE" --until-caught-up
fill
cat part1 >>events/sales.ndjson
gives_up full.log
more_room 24m
"$ASSAY" run "$PIPELINE" 2>host.log & host=$!
wait_for "the host reads" grep -q "partition assigned" host.log
fill
cat part2 >>events/sales.ndjson
wait_for "the host speaks of the disk" grep -q "No space left on device" host.log
# Longer than its first pauses take.
sleep 2
kill -0 $host
more_room 64m
wait_for "the tables are right" is_right
kill $host
wait $host
"$ASSAY" verify
is_right
"#;
    let Some(said) = told(&place, &pipeline, "16m", story) else {
        return;
    };
    let books = said.well();
    assert!(books.contains("the books balance"), "{books}");
    assert!(books.contains("OK 6000 events"), "{books}");
    is_clear(&place, "full.log", "retail/bronze/");
    let log = std::fs::read_to_string(place.path().join("host.log")).unwrap();
    let error = log.lines().find(|line| line.contains(FULL)).unwrap();
    let clear = ["ERROR", "tenant=retail", "nothing is lost, trying again"];
    assert!(clear.iter().all(|part| error.contains(part)), "{error}");
}

/// `ASSAY_DISK_TIMES` says how often each.
#[test]
fn a_host_that_runs_waits_out_a_disk_that_is_full_or_read_only_each_time() {
    let place = Place::new();
    let count = 200 * (times() * 2 + 1);
    sales(&place, &count.to_string());
    let all = std::fs::read_to_string(place.path().join("sales/events/sales.ndjson")).unwrap();
    let lines: Vec<&str> = all.split_inclusive('\n').collect();
    for (part, lines) in lines.chunks(200).enumerate() {
        place.write(&format!("part{part}"), lines.concat());
    }
    let events = place.write("events/sales.ndjson", lines[..200].concat());
    let pipeline = place.retail_from_files(&events, &[SMALL_BATCHES, QUICK_GOLD]);
    let story = r#"
"$ASSAY" run "$PIPELINE" 2>host.log & host=$!
wait_for "the host reads" is_in
part=1
while [ $part -le $((TIMES * 2)) ]; do
	case $((part % 2)) in
	0) words="No space left on device" hurt=fill heal="rm $ASSAY_LAKE/filler" ;;
	*) words="Read-only file system" hurt=read_only heal="mount -o remount,rw $ASSAY_LAKE" ;;
	esac
	before=$(grep -c "$words" host.log || true)
	$hurt
	cat part$part >>events/sales.ndjson
	wait_for "the host speaks of the disk" says_more "$words" "$before"
	$heal
	wait_for "everything is in" is_in
	part=$((part + 1))
done
kill $host
wait $host
"$ASSAY" verify
is_right
"#;
    let Some(said) = told(&place, &pipeline, "64m", story) else {
        return;
    };
    let books = said.well();
    assert!(books.contains("the books balance"), "{books}");
    assert!(books.contains(&format!("OK {count} events")), "{books}");
    crate::chaos::say(&format!(
        "disk: {0} times full, {0} times read-only; {count} events, 0 lost, 0 doubled, gold exact",
        times()
    ));
}
