package server

import "github.com/coreos/go-systemd/v22/daemon"

// Notifications for the service manager (sd_notify(3)). Without NOTIFY_SOCKET, which systemd sets, they go nowhere.

func (s *Server) notifyReady() { s.notify(daemon.SdNotifyReady) }

// notifyReloading carries the time at which the reload began, by which systemd tells it from an earlier one.
func (s *Server) notifyReloading() {
	s.notify(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

func (s *Server) notifyStopping() { s.notify(daemon.SdNotifyStopping) }

func (s *Server) notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.log.Warn("service manager cannot be notified", "error", err)
	}
}
