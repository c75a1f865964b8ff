package app

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"time"

	"reveille/configs"
	"reveille/internal/tlscert"
)

// lookEvery is how often the files of credentials and certificates are looked
// at. A change counts when it is still there at the next look: whoever replaces a
// certificate writes its key a moment later.
const lookEvery = 30 * time.Second

// watchFiles puts credentials and certificates into force whose files have
// changed, until ctx ends. What cannot be used stays as it is.
func (a *App) watchFiles(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	w := &fileWatch{log: a.component("files"), seen: map[string]look{}}
	for {
		select {
		case <-tick.C:
			a.lookAtFiles(ctx, w)
		case <-ctx.Done():
			return
		}
	}
}

// A fileWatch remembers between looks. It belongs to one goroutine.
type fileWatch struct {
	log  *slog.Logger
	seen map[string]look // by what is watched, only while it differs from what is in force
}

// A look is what files were like.
type look struct {
	mark    [sha256.Size]byte
	refused bool // and were tried in vain
}

// stays reports whether what is watched differs from what is in force, did so
// already at the last look, in the same way, and was not tried.
func (w *fileWatch) stays(name string, inForce, now [sha256.Size]byte) bool {
	if now == inForce {
		delete(w.seen, name)
		return false
	}
	last, again := w.seen[name]
	if !again || last.mark != now {
		w.seen[name] = look{mark: now}
		return false
	}
	return !last.refused
}

// tried tells what became of a change.
func (w *fileWatch) tried(ctx context.Context, name string, err error) {
	if err != nil {
		l := w.seen[name]
		l.refused = true
		w.seen[name] = l
		w.log.LogAttrs(ctx, slog.LevelError, "changed files cannot be used, the old content stays in force", slog.String("key", name), slog.Any("err", err))
		return
	}
	delete(w.seen, name)
	w.log.LogAttrs(ctx, slog.LevelInfo, "changed files are in force", slog.String("key", name))
}

// lookAtFiles is one look.
func (a *App) lookAtFiles(ctx context.Context, w *fileWatch) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped {
		return
	}
	for i := range a.senders.list {
		x := &a.senders.list[i]
		name := "push.apps[" + x.config.Name + "]"
		c, err := readCredential(x.config)
		now := c.mark(x.config)
		if err != nil {
			// A file that is not there for a moment, or for longer.
			now = sha256.Sum256([]byte(err.Error()))
		}
		if !w.stays(name, x.mark, now) {
			continue
		}
		if err == nil {
			err = a.replaceSender(ctx, i, c, now)
		}
		w.tried(ctx, name, err)
	}
	for _, l := range encryptedOf(a.config) {
		if a.certs[l.name] == nil {
			continue
		}
		now := markFiles(l.tls)
		if !w.stays(l.key, a.certMarks[l.name], now) {
			continue
		}
		o, err := tlsOptions(l.tls)
		if err == nil {
			var set *tlscert.Set
			if set, err = tlscert.Load(o); err == nil {
				a.certs[l.name].Replace(set)
				a.certMarks[l.name] = now
			}
		}
		w.tried(ctx, l.key, err)
	}
}

// replaceSender gives one app the credential c, without touching the others.
func (a *App) replaceSender(ctx context.Context, i int, c credential, mark [sha256.Size]byte) error {
	x := a.senders.list[i]
	made, err := newSender(ctx, x.config, c, a.senders.tokens())
	if err != nil {
		return err
	}
	x.app.Sender, x.mark = made, mark
	next := &senders{list: append(append([]sender(nil), a.senders.list[:i]...), x)}
	next.list = append(next.list, a.senders.list[i+1:]...)
	if err := a.pushes.Replace(next.apps()); err != nil { //nolint:contextcheck // What it drains outlives this look.
		return fmt.Errorf("%w, and close: %w", err, made.Close())
	}
	a.useSenders(next)
	// What phones are told about the app may be another VAPID key.
	policy, err := a.registrarPolicy(a.config)
	if err != nil {
		return err
	}
	return a.registrar.SetPolicy(policy)
}

// markListeners returns the marks of the certificates of all listeners.
func markListeners(cfg *configs.Config) map[string][sha256.Size]byte {
	marks := map[string][sha256.Size]byte{}
	for _, l := range encryptedOf(cfg) {
		marks[l.name] = markFiles(l.tls)
	}
	return marks
}

// markFiles is a hash of what a listener's files hold.
func markFiles(t *configs.ListenTLS) [sha256.Size]byte {
	h := sha256.New()
	for _, file := range tlsFiles(t) {
		if file == "" {
			continue
		}
		b, err := os.ReadFile(file)
		fmt.Fprintf(h, "%d %v\n", len(b), err)
		h.Write(b)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// tlsFiles names the files of a listener.
func tlsFiles(t *configs.ListenTLS) []string {
	files := []string{string(t.ClientCAFile), string(t.ServerCAFile)}
	for _, c := range t.All() {
		files = append(files, string(c.CertFile), string(c.KeyFile))
	}
	return files
}
