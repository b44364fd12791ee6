mod approve;
mod cancel;
mod events;
mod get;
mod list;
mod signal;
mod start;
