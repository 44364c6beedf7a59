# Checks what the README's example `power` prints: 100,000 lines, each number once, each square right.
function wrong(why) { print "line " NR ": " why ": " $0; bad = 1; exit 1 }
!/^Power of [0-9]+ is [0-9]+$/ { wrong("not what power prints") }
$3 >= 100000 { wrong("a number that is too large") }
seen[$3 + 0]++ { wrong("a number that was there before") }
$5 != $3 * $3 { wrong("not the square") }
END {
  if (!bad && NR != 100000) { print NR " lines instead of 100000"; bad = 1 }
  if (!bad) print NR " lines, each number once, each square right"
  exit bad
}
