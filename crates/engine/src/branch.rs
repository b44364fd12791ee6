//! Branches of one run: all of them, the first of them, one per item. They are polled in order, on one thread; outcomes
//! come one at a time, so who is first is the same on every replay and needs no entry.

use crate::ctx::Ctx;
use crate::error::Result;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// A branch; it may borrow the team.
pub type Branch<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + 'a>>;

impl Ctx {
    /// Waits for every branch; the first error ends it and drops the others.
    pub fn all<'a, T: 'a>(&self, branches: Vec<Branch<'a, T>>) -> impl Future<Output = Result<Vec<T>>> + 'a {
        let mut open: Vec<_> = branches.into_iter().map(Some).collect();
        let mut done: Vec<Option<T>> = open.iter().map(|_| None).collect();
        poll_fn(move |cx| {
            for (branch, slot) in open.iter_mut().zip(&mut done) {
                let Some(future) = branch else { continue };
                if let Poll::Ready(result) = future.as_mut().poll(cx) {
                    *branch = None;
                    match result {
                        Ok(value) => *slot = Some(value),
                        Err(e) => {
                            open.clear();
                            return Poll::Ready(Err(e));
                        }
                    }
                }
            }
            if open.iter().any(Option::is_some) {
                return Poll::Pending;
            }
            Poll::Ready(Ok(std::mem::take(&mut done).into_iter().flatten().collect()))
        })
    }

    /// Waits for the first branch to end, well or badly, and drops the others. Answers its place in the list.
    pub fn race<'a, T: 'a>(&self, mut branches: Vec<Branch<'a, T>>) -> impl Future<Output = (usize, Result<T>)> + 'a {
        poll_fn(move |cx| {
            for (i, branch) in branches.iter_mut().enumerate() {
                if let Poll::Ready(result) = branch.as_mut().poll(cx) {
                    branches.clear();
                    return Poll::Ready((i, result));
                }
            }
            Poll::Pending
        })
    }

    /// Runs `work` once per item, each in a scope `name[index]` of its own, at most `limit` at a time. Results come in the
    /// items' order; the first error ends it and drops the others.
    ///
    /// # Errors
    /// The first error of a branch.
    pub async fn map<I, T>(
        &self,
        name: &'static str,
        items: Vec<I>,
        limit: usize,
        work: impl AsyncFn(Ctx, I) -> Result<T>,
    ) -> Result<Vec<T>> {
        let done = self.map_until(name, items, limit, work, |_| false).await?;
        Ok(done.into_iter().flatten().collect())
    }

    /// As [`map`](Self::map), but ends as soon as `enough` says so of the results so far, and drops what is still open.
    ///
    /// # Errors
    /// The first error of a branch.
    pub async fn map_until<I, T>(
        &self,
        name: &'static str,
        items: Vec<I>,
        limit: usize,
        work: impl AsyncFn(Ctx, I) -> Result<T>,
        enough: impl Fn(&[Option<T>]) -> bool,
    ) -> Result<Vec<Option<T>>> {
        let work = &work;
        let mut done: Vec<Option<T>> = items.iter().map(|_| None).collect();
        let mut waiting = items.into_iter().enumerate();
        let mut open = Vec::new();
        poll_fn(move |cx| {
            loop {
                while open.len() < limit.max(1)
                    && let Some((i, item)) = waiting.next()
                {
                    open.push((i, Box::pin(work(self.scope(name, i), item))));
                }
                let before = open.len();
                let mut failed = None;
                open.retain_mut(|(i, future)| match future.as_mut().poll(cx) {
                    Poll::Pending => true,
                    Poll::Ready(Ok(value)) => {
                        done[*i] = Some(value);
                        false
                    }
                    Poll::Ready(Err(e)) => {
                        failed.get_or_insert(e);
                        false
                    }
                });
                if let Some(e) = failed {
                    open.clear();
                    return Poll::Ready(Err(e));
                }
                if (open.is_empty() && waiting.len() == 0) || (open.len() < before && enough(&done)) {
                    open.clear();
                    return Poll::Ready(Ok(std::mem::take(&mut done)));
                }
                if open.len() == before {
                    return Poll::Pending;
                }
            }
        })
        .await
    }
}
