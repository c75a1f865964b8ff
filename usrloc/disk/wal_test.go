package disk

import (
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"reveille/usrloc/usrloctest"
)

// syncedLog returns a log of which every record was synced, and its number.
func syncedLog(t *testing.T, n int) ([]byte, uint32) {
	t.Helper()
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, Options{Dir: "store", FS: fs, OnFailure: failNow(t)})
	for i := range n {
		mustUpdate(t, s, usrloctest.AOR(i), usrloctest.Put(usrloctest.Binding(usrloctest.AOR(i), 1, clock())))
	}
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	mustClose(t, s)
	name := largest(t, crashed, ".log")
	data, err := readFile(crashed, name)
	if err != nil {
		t.Fatal(err)
	}
	number, err := logNumber(name, crashed)
	if err != nil || !strings.HasSuffix(name, ".log") {
		t.Fatal(name, err)
	}
	return data, number
}

// TestCheckLog_TornEndIsNoDamage: a log may end anywhere, followed by zeros or
// by what an older log has left there.
func TestCheckLog_TornEndIsNoDamage(t *testing.T) {
	data, number := syncedLog(t, 100)
	end, ok := checkLog(data, number)
	if !ok || end < logBlock || end > len(data) {
		t.Fatalf("checkLog of a sound log of %d bytes = %d, %v", len(data), end, ok)
	}
	for cut := 0; cut < end; cut += 101 {
		if _, ok := checkLog(data[:cut], number); !ok {
			t.Fatalf("cut at %d of %d: damaged", cut, end)
		}
		if _, ok := checkLog(append(append([]byte{}, data[:cut]...), make([]byte, 70_000)...), number); !ok {
			t.Fatalf("zeros from %d of %d: damaged", cut, end)
		}
		if _, ok := checkLog(data[cut:], number+1); !ok {
			t.Fatalf("a log of another number: damaged")
		}
	}
}

// TestCheckLog_EveryBit: any bit but one of the last record's is noticed.
func TestCheckLog_EveryBit(t *testing.T) {
	data, number := syncedLog(t, 60)
	end, _ := checkLog(data, number)
	last := 0
	for at := 0; at < end; {
		length, _, ok := logChunk(data, at, number)
		if !ok {
			at += logBlock - at%logBlock
			continue
		}
		last, at = at, at+length
	}
	for at := 0; at < last; at += 7 {
		if logBlock-at%logBlock < logHeader {
			continue // zeros at the end of a block
		}
		data[at] ^= 1 << (at % 8)
		if got, ok := checkLog(data, number); ok || got > at {
			t.Fatalf("bit flipped at %d of %d: checkLog = %d, %v", at, last, got, ok)
		}
		data[at] ^= 1 << (at % 8)
	}
}

func FuzzCheckLog(f *testing.F) {
	f.Add([]byte("hello"), uint32(2))
	f.Add(make([]byte, 100), uint32(0))
	f.Fuzz(func(t *testing.T, data []byte, number uint32) {
		end, ok := checkLog(data, number)
		if end < 0 || end > len(data) {
			t.Fatalf("checkLog = %d of %d", end, len(data))
		}
		if _, again := checkLog(data[:end], number); !again {
			t.Fatalf("what was readable up to %d (%v) is not alone", end, ok)
		}
	})
}
