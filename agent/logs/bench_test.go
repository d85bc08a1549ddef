package logs

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/proto/catalogue"
	"github.com/bandfleet/bandfleet/proto/catalogue/match"
)

// noise is a log that says little: 16 MiB of lines, one in fifty of which tells of an error that no rule knows.
func noise() string {
	var b strings.Builder
	for i := 0; b.Len() < 16<<20; i++ {
		fmt.Fprintf(&b, "2026-11-24 08:00:%02d.%03d [12] INFO - sending update to nea {\"operation\":\"lookup\",\"exchange\":\"%d\",\"status\":0,\"payload\":{}}\r\n", i%60, i%1000, i)
		if i%50 == 0 {
			fmt.Fprintf(&b, "2026-11-24 08:00:%02d.%03d [12] ERROR - NSL: nsl_other, %d, 5\r\n", i%60, i%1000, i)
		}
	}
	return b.String()
}

// benchMachine has the rules of the catalogue for terminals, and as many more as make it two hundred.
func benchMachine(b *testing.B) *machine {
	c, err := catalogue.Load()
	if err != nil {
		b.Fatal(err)
	}
	_, rules := catalogue.Rules(c, catalogue.Terminal)
	for i := len(rules); i < 200; i++ {
		rules = append(rules, rule(fmt.Sprint("made-up-", i), fmt.Sprintf("nobody ever says text %d of these", i)))
	}
	return newMachine(b, rules...)
}

// BenchmarkPipeline reads 16 MiB from the disk through decoding, matching and counting.
func BenchmarkPipeline(b *testing.B) {
	m := benchMachine(b)
	text := noise()
	m.add(nemLog, text)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		m.w.memory = newMemory()
		for _, class := range m.w.current().set.Classes() {
			m.w.memory.Scanned[class] = time.Now().Add(-time.Hour)
		}
		m.w.folders, m.w.budget = nil, 0
		m.step()
		read := int64(0)
		for _, marks := range m.w.memory.Marks {
			for _, mark := range marks {
				read += mark.Offset
			}
		}
		if read != int64(len(text)) {
			b.Fatalf("%d bytes of %d were read, want all", read, len(text))
		}
	}
}

// BenchmarkPlainScan is what BenchmarkPipeline is compared with: the same bytes from the disk, line by line, and nothing done.
func BenchmarkPlainScan(b *testing.B) {
	path := filepath.Join(b.TempDir(), "nem.log")
	text := noise()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		scan(b, path, func([]byte) {})
	}
}

// BenchmarkFoldedScan does nothing but fold the lines.
func BenchmarkFoldedScan(b *testing.B) {
	path := filepath.Join(b.TempDir(), "nem.log")
	text := noise()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	var buffer []byte
	for b.Loop() {
		scan(b, path, func(line []byte) { buffer = match.Fold(buffer[:0], line) })
	}
}

func scan(b *testing.B, path string, line func([]byte)) {
	file, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	lines := 0
	for s := bufio.NewScanner(file); s.Scan(); lines++ {
		line(bytes.TrimSuffix(s.Bytes(), []byte{'\r'}))
	}
	if lines == 0 {
		b.Fatal("no line was read")
	}
}

// BenchmarkIdle is one look at 50 profiles with three logs each, one of which is written to: what the agent does every two seconds.
// BenchmarkIdleScan is one look for new files among them: every fifteen seconds.
func BenchmarkIdle(b *testing.B)     { idle(b, time.Hour) }
func BenchmarkIdleScan(b *testing.B) { idle(b, 1) }

func idle(b *testing.B, every time.Duration) {
	m := benchMachine(b)
	for i := range 50 {
		for _, name := range []string{"nem.log", "nymi_api.log", "nem.1.log"} {
			m.add(fmt.Sprintf("profiles/user%02d/AppData/Roaming/Nymi/NEM/Logs/%s", i, name), strings.Repeat("noise\n", 100+i))
		}
	}
	m.step()
	m.w.cfg.Timings.Scan = every
	for i, f := range m.w.folders {
		if i > 0 {
			f.changed = time.Time{} // quiet for long
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		m.step()
	}
}
