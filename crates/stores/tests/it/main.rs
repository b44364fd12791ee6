//! The stores on real things keep what the ports promise.

mod sqlite;
