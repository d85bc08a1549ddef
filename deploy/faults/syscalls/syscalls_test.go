package syscalls

import (
	"strings"
	"testing"
	"time"
)

const trace = `10 100.000000 pwrite64(5</data/store.db>, ""..., 4096, 16384) = 4096 <0.000016>
10 100.100000 fdatasync(5</data/store.db> <unfinished ...>
11 100.150000 write(9<TCP:[127.0.0.1:1->127.0.0.1:2]>, ""..., 300) = 300 <0.000020>
10 100.300000 <... fdatasync resumed>)       = 0 (DELAYED) <0.200000>
10 100.400000 pwrite64(5</data/store.db>, ""..., 4096, 0) = 4096 <0.000022>
10 100.500000 fdatasync(5</data/store.db>) = 0 (DELAYED) <0.100350>
10 100.600000 write(3<anon_inode:[eventfd]>, ""..., 8) = 8 <0.000010>
11 100.610000 --- SIGURG {si_signo=SIGURG, si_code=SI_TKILL, si_pid=1, si_uid=0} ---
11 100.700000 write(9<TCP:[127.0.0.1:1->127.0.0.1:2]>, ""..., 39) = 39 <0.000020>
11 100.800000 pwrite64(5</data/store.db>, ""..., 4096, 8192) = 4096 <0.000022>
11 100.900000 fdatasync(5</data/store.db> <unfinished ...>
`

func TestRead(t *testing.T) {
	calls, err := Read(strings.NewReader(trace))
	if err != nil {
		t.Fatal(err)
	}
	if len(calls) != 8 {
		t.Fatalf("%d calls, want the 8 that ended: %v", len(calls), calls)
	}
	if c := calls[1]; c.Name != "fdatasync" || c.File != "/data/store.db" || c.Ended.Sub(c.Begun) != 200*time.Millisecond {
		t.Errorf("the interrupted call is %+v, want the sync of 200 ms", c)
	}
	commits := Commits(calls, "store.db")
	if len(commits) != 2 || !commits[0].Done(at(100.7)) || commits[0].Done(at(100.55)) || commits[1].Done(at(999)) {
		t.Errorf("commits are %v, want one that was on disk at 100.60 and one that never was", commits)
	}
	if sent := Sent(calls, 64, at(100), at(101)); len(sent) != 1 || sent[0].Result != 300 {
		t.Errorf("sent is %v, want the one write of 300 bytes", sent)
	}
}

func at(seconds float64) time.Time { return time.UnixMilli(int64(seconds * 1000)) }
