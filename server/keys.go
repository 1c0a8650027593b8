package server

import (
	"context"
	"fmt"

	"github.com/weirlb/weir/admin"
)

// keys tells which keys encrypt the talk between the nodes. It is called by the admin endpoint.
func (s *Server) keys(context.Context) (admin.Keys, error) {
	t := s.view.Load().tier
	if t == nil {
		return admin.Keys{}, errAlone
	}
	status, err := t.node.Keys()
	return keysState(status, ""), err
}

// errAlone answers questions about the cluster where there is none.
var errAlone = fmt.Errorf("%w: this weir is not in a cluster: set cluster in its configuration", admin.ErrNoSuch)

// changeKeys changes the keys on all nodes. It is called by the admin endpoint.
func (s *Server) changeKeys(ctx context.Context, change admin.KeyChange) (admin.Keys, error) {
	t := s.view.Load().tier
	if t == nil {
		return admin.Keys{}, errAlone
	}
	fingerprint := change.Fingerprint
	var err error
	switch node := t.node; change.Do {
	case "install":
		fingerprint, err = node.InstallKey(change.Secret)
	case "use":
		err = node.UseKey(fingerprint)
	case "remove":
		err = node.RemoveKey(fingerprint)
	default:
		err = fmt.Errorf("%w: %q is none of install, use, remove", admin.ErrInvalid, change.Do)
	}
	if err != nil {
		return admin.Keys{}, orderError(err)
	}
	ctx, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	for {
		keys, err := s.keys(ctx)
		if err != nil || len(keys.Missing) == 0 || pause(ctx, ackPoll) != nil {
			keys.Changed = fingerprint
			return keys, err
		}
	}
}
