//! Writing to a standard stream that may be gone: after the first failed write (a closed pipe, a
//! full disk) the stream stays silent and the program goes on.

use crate::core::mark::mark;
use std::io::Write;

/// One stream of text.
pub struct Output {
    stream: Option<Box<dyn Write>>,
}

impl Output {
    pub fn stdout() -> Output {
        Output::to(std::io::stdout())
    }
    pub fn stderr() -> Output {
        Output::to(std::io::stderr())
    }
    pub fn to(stream: impl Write + 'static) -> Output {
        Output { stream: Some(Box::new(stream)) }
    }

    /// Writes and flushes `text`.
    pub fn write(&mut self, text: &str) {
        let Some(stream) = &mut self.stream else { return };
        if stream.write_all(text.as_bytes()).and_then(|()| stream.flush()).is_err() {
            mark!("F19");
            self.stream = None;
        }
    }

    /// Writes one line.
    pub fn line(&mut self, text: &str) {
        self.write(&format!("{text}\n"));
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::core::mark::expect_mark;
    use std::cell::RefCell;
    use std::io;
    use std::rc::Rc;

    /// A stream whose text a test can read.
    #[derive(Clone, Default)]
    pub struct Sheet(Rc<RefCell<Vec<u8>>>);

    impl Sheet {
        pub fn text(&self) -> String {
            String::from_utf8_lossy(&self.0.borrow()).into_owned()
        }
    }

    impl Write for Sheet {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A pipe whose reader is gone; counts the attempts.
    struct Gone(Rc<RefCell<u32>>);

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            *self.0.borrow_mut() += 1;
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stream_that_is_gone_is_left_alone() {
        let tries = Rc::new(RefCell::new(0));
        let mut output = Output::to(Gone(tries.clone()));
        expect_mark!("F19", output.line("one"));
        output.line("two");
        assert_eq!(*tries.borrow(), 1);
    }

    #[test]
    fn lines_come_out_as_they_went_in() {
        let sheet = Sheet::default();
        let mut output = Output::to(sheet.clone());
        output.line("one");
        output.write("two");
        assert_eq!(sheet.text(), "one\ntwo");
    }
}
