//go:build e2e

package sql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"reveille/internal/sqldb"
)

// A server is a database server in a folder of its own, which listens on a Unix
// socket there.
type server struct {
	name   string
	socket string
	// url names a database, reached by TCP on addr.
	url func(addr, database string) string
	// admin is the database that is always there.
	admin string

	next int // numbers the databases
	mu   sync.Mutex
}

// servers are the databases under test.
var servers []*server

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	for _, start := range []func(dir string) (*server, *exec.Cmd, error){startPostgreSQL, startMariaDB} {
		dir, err := ownFolder()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		s, cmd, err := start(dir)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%v; `make install` installs what is needed\n", err)
			return 1
		}
		defer stop(cmd)
		if err := s.ready(); err != nil {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			fmt.Fprintf(os.Stderr, "%s: %v\n%s", s.name, err, log)
			return 1
		}
		servers = append(servers, s)
	}
	return m.Run()
}

// ownFolder is short, for a socket's path has 107 bytes, and belongs to whom the
// servers run as.
func ownFolder() (string, error) {
	dir, err := os.MkdirTemp("", "rsql-")
	if err != nil {
		return "", err
	}
	if c, err := unprivileged(); err != nil {
		return "", err
	} else if c != nil {
		return dir, os.Chown(dir, int(c.Uid), int(c.Gid))
	}
	return dir, nil
}

// unprivileged is nobody if we are root, as whom no database runs.
func unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		return nil, err
	}
	uid, err1 := strconv.ParseUint(nobody.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(nobody.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
}

// command runs a program as nobody, with its output in the folder's log.
func command(dir, name string, args ...string) (*exec.Cmd, error) {
	c, err := unprivileged()
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.Env = []string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin", "HOME=" + dir, "TMPDIR=" + dir, "TZ=UTC"}
	// The server ends with the test, however that ends.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c, Pdeathsig: syscall.SIGKILL}
	return cmd, nil
}

// prepare runs a program to its end.
func prepare(dir, name string, args ...string) error {
	cmd, err := command(dir, name, args...)
	if err != nil {
		return err
	}
	if err := cmd.Run(); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		return fmt.Errorf("%s: %w\n%s", name, err, log)
	}
	return nil
}

func stop(cmd *exec.Cmd) {
	// What it has is thrown away: it need not end in order.
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

func startPostgreSQL(dir string) (*server, *exec.Cmd, error) {
	// Debian keeps the programs of each version apart.
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return nil, nil, errors.Join(errors.New("PostgreSQL is not installed"), err)
	}
	bin, data := filepath.Dir(slices.Max(found)), filepath.Join(dir, "data")
	if err := prepare(dir, filepath.Join(bin, "initdb"), "-D", data, "-U", "reveille", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"); err != nil {
		return nil, nil, err
	}
	cmd, err := command(dir, filepath.Join(bin, "postgres"), "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200")
	if err != nil {
		return nil, nil, err
	}
	return &server{name: "PostgreSQL", socket: filepath.Join(dir, ".s.PGSQL.5432"), admin: "postgres", url: func(addr, database string) string {
		return "postgres://reveille@" + addr + "/" + database + "?sslmode=disable"
	}}, cmd, cmd.Start()
}

func startMariaDB(dir string) (*server, *exec.Cmd, error) {
	if _, err := exec.LookPath("mariadb-install-db"); err != nil {
		return nil, nil, errors.New("MariaDB is not installed")
	}
	data, socket := filepath.Join(dir, "data"), filepath.Join(dir, "s")
	if err := prepare(dir, "mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", "--datadir="+data); err != nil {
		return nil, nil, err
	}
	cmd, err := command(dir, "/usr/sbin/mariadbd", "--no-defaults", "--datadir="+data, "--socket="+socket, "--skip-networking", "--pid-file="+filepath.Join(dir, "pid"),
		"--innodb-flush-log-at-trx-commit=0")
	if err != nil {
		return nil, nil, err
	}
	return &server{name: "MariaDB", socket: socket, admin: "mysql", url: func(addr, database string) string {
		return "mysql://root@" + addr + "/" + database
	}}, cmd, cmd.Start()
}

// ready waits until the server answers.
func (s *server) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	f, err := s.forward()
	if err != nil {
		return err
	}
	defer f.cut()
	db, err := sqldb.Open(sqldb.Options{URL: s.url(f.addr, s.admin)})
	if err != nil {
		return err
	}
	defer db.Close()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// fresh makes an empty database and returns its URL, and what makes it
// unreachable.
func (s *server) fresh(t *testing.T) (address string, cut func()) {
	t.Helper()
	s.mu.Lock()
	s.next++
	name := fmt.Sprint("t", s.next)
	s.mu.Unlock()
	f, err := s.forward()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.cut)
	db, err := sqldb.Open(sqldb.Options{URL: s.url(f.addr, s.admin)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return s.url(f.addr, name), f.cut
}

// A forwarder is the way to a server, which can be cut.
type forwarder struct {
	addr     string
	listener net.Listener
	socket   string

	mu    sync.Mutex
	conns []net.Conn
	gone  bool
}

func (s *server) forward() (*forwarder, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &forwarder{addr: l.Addr().String(), listener: l, socket: s.socket}
	go f.accept()
	return f, nil
}

func (f *forwarder) accept() {
	for {
		in, err := f.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("unix", f.socket)
		if err != nil {
			in.Close()
			continue
		}
		if !f.add(in, out) {
			return
		}
		for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
			go func() {
				io.Copy(pair[0], pair[1])
				in.Close()
				out.Close()
			}()
		}
	}
}

// add notes connections, or closes them if the way was cut.
func (f *forwarder) add(conns ...net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conns = append(f.conns, conns...)
	if f.gone {
		f.closeAll()
	}
	return !f.gone
}

func (f *forwarder) cut() {
	f.listener.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone = true
	f.closeAll()
}

func (f *forwarder) closeAll() {
	for _, c := range f.conns {
		c.Close()
	}
	f.conns = nil
}

// each runs a test on every server.
func each(t *testing.T, test func(t *testing.T, s *server)) {
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) { test(t, s) })
	}
}

// TestServers: neither knows passwords here, and both are cut off in a moment.
func TestServers(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		address, cut := s.fresh(t)
		if u, err := url.Parse(address); err != nil || u.Hostname() != "127.0.0.1" {
			t.Fatalf("%s is not on this machine", address)
		}
		db, err := sqldb.Open(sqldb.Options{URL: address, Timeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := db.PingContext(t.Context()); err != nil {
			t.Error(err)
		}
		cut()
		if err := db.PingContext(t.Context()); err == nil {
			t.Error("it answers although it cannot be reached")
		}
	})
}
