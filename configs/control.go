package configs

import (
	"fmt"
	"os"
	"path/filepath"
)

// Control says where the command line reaches the running server.
type Control struct {
	// Socket is the path of a Unix socket; see Config.ControlSocket.
	Socket SocketFile `yaml:"socket"`
}

// NoSocket is the value of control.socket that asks for none.
const NoSocket = "none"

// controlSocket is the socket's name in store.dir.
const controlSocket = "control.sock"

// maxSocketPath is the longest path of a Unix socket in bytes: Linux has 108 for
// it, and the last one is 0.
const maxSocketPath = 107

// ControlSocket returns the path of the control socket, empty for none. Unless
// one is named it lies in the folder of a store on disk, which belongs to the
// server alone; in a folder whose name is too long for a socket there is none.
func (c *Config) ControlSocket() string {
	switch {
	case c.Control.Socket == NoSocket:
		return ""
	case c.Control.Socket != "":
		return string(c.Control.Socket)
	case !c.Store.OnDisk():
		return ""
	}
	if path := filepath.Join(string(c.Store.Dir), controlSocket); len(path) <= maxSocketPath {
		return path
	}
	return ""
}

// checkControl looks at a socket that was named, and warns if the usual place has
// too long a name: the server then runs without the socket.
func (l *loader) checkControl(cfg *Config) {
	const path = "control.socket"
	file := string(cfg.Control.Socket)
	switch {
	case l.complained(path) || file == NoSocket:
	case file == "":
		if cfg.Store.OnDisk() && cfg.ControlSocket() == "" {
			l.warnAt("store.dir", "has too long a path for a control socket in it: there will be none",
				fmt.Sprintf("name one of at most %d bytes as control.socket, or %s", maxSocketPath, NoSocket))
		}
	case len(file) > maxSocketPath:
		l.errorAt(path, fmt.Sprintf("%s is too long, a socket's path may have %d bytes", file, maxSocketPath), "name a shorter one")
	case cfg.Store.OnDisk() && filepath.Dir(file) == filepath.Clean(string(cfg.Store.Dir)):
		// The server makes that folder.
	default:
		if info, err := os.Stat(filepath.Dir(file)); err != nil || !info.IsDir() {
			l.errorAt(path, fmt.Sprintf("%s cannot be made: there is no folder %s", file, filepath.Dir(file)), "")
		}
	}
}
