package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
)

// level reads the level.
func (s logSettings) level() (slog.Level, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.Level)); err != nil {
		return 0, fmt.Errorf("log_level %q: want debug, info, warn or error", s.Level)
	}
	return level, nil
}

// open makes the log. The closer is to be closed at the end.
func (s logSettings) open(stderr io.Writer) (*slog.Logger, io.Closer, error) {
	level, err := s.level()
	if err != nil {
		return nil, nil, err
	}
	out, closer := stderr, io.Closer(io.NopCloser(nil))
	if s.File != "" {
		f, err := openLogFile(s.File)
		if err != nil {
			return nil, nil, fmt.Errorf("log file %q: %w", s.File, err)
		}
		out, closer = f, f
	}
	options := &slog.HandlerOptions{Level: level}
	if s.Format == "json" {
		return slog.New(slog.NewJSONHandler(out, options)), closer, nil
	}
	return slog.New(slog.NewTextHandler(out, options)), closer, nil
}

// logFileMost is the size at which a log file is put aside, in bytes. One earlier file is kept.
const logFileMost = 10 << 20

// logFile is a log file that is put aside as FILE.1 when it has grown. A Windows service has no standard error, so somebody
// must keep the file small.
type logFile struct {
	mu   sync.Mutex
	path string
	most int64
	file *os.File
	size int64
}

func openLogFile(path string) (*logFile, error) {
	l := &logFile{path: path, most: logFileMost}
	return l, l.reopen()
}

func (l *logFile) reopen() error {
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	l.file, l.size = f, info.Size()
	return nil
}

// Write implements io.Writer.
func (l *logFile) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size > 0 && l.size+int64(len(line)) > l.most {
		if err := l.putAside(); err != nil {
			return 0, err
		}
	}
	n, err := l.file.Write(line)
	l.size += int64(n)
	return n, err
}

// putAside begins a new file. When the old one cannot be renamed (somebody has the earlier one open, on Windows), it is written
// on for as much again: a log that is too large is better than none.
func (l *logFile) putAside() error {
	if err := l.file.Close(); err != nil {
		return err
	}
	kept := os.Rename(l.path, l.path+".1") != nil
	if err := l.reopen(); err != nil {
		return err
	}
	if kept {
		l.size = 0
	}
	return nil
}

// Close implements io.Closer.
func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}
