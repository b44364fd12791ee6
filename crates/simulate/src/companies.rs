//! What the marketplace knows: companies, built in or from a CSV file.

use serde_json::{Value, json};
use std::collections::BTreeSet;

/// One company. Its id is its place in the list, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Company {
    /// Its name.
    pub name: String,
    /// Its short name.
    pub symbol: String,
    /// What it does, broadly.
    pub sector: String,
    /// And closely.
    pub industry: String,
    /// Where it sits.
    pub headquarters: String,
    /// Since when.
    pub founded: String,
}

/// Most companies in one answer.
const FOUND_MAX: usize = 10;
/// Shorter words find nothing.
const WORD_CHARS_MIN: usize = 3;

const BUILT_IN: &str = "Symbol,Security,GICS Sector,GICS Sub-Industry,Headquarters Location,Date added,CIK,Founded
ALB,Albion Motors,Consumer Discretionary,Automobile Manufacturers,\"Coventry, England\",2001-01-02,1,1931
BRC,Bracken Bank,Financials,Regional Banks,\"Leeds, England\",2001-01-02,2,1874
CDR,Cedar Health,Health Care,Health Care Services,\"Lyon, France\",2001-01-02,3,1968
DLT,Delta Wind,Utilities,Renewable Electricity,\"Esbjerg, Denmark\",2001-01-02,4,2004
EBN,Ebony Foods,Consumer Staples,Packaged Foods,\"Parma, Italy\",2001-01-02,5,1922
FJD,Fjord Shipping,Industrials,Marine Transportation,\"Bergen, Norway\",2001-01-02,6,1907
GLX,Galaxy Chips,Information Technology,Semiconductors,\"Dresden, Germany\",2001-01-02,7,1996
HRN,Heron Media,Communication Services,Publishing,\"Dublin, Ireland\",2001-01-02,8,1951
IVY,Ivy Software,Information Technology,Application Software,\"Tallinn, Estonia\",2001-01-02,9,2011
JNP,Juniper Paper,Materials,Paper Products,\"Tampere, Finland\",2001-01-02,10,1889
KST,Kestrel Air,Industrials,Passenger Airlines,\"Zurich, Switzerland\",2001-01-02,11,1978
LRK,Lark Telecom,Communication Services,Wireless Services,\"Porto, Portugal\",2001-01-02,12,1991
MPL,Maple Insurance,Financials,Property Insurance,\"Toronto, Canada\",2001-01-02,13,1938
NRD,Nord Robotics,Industrials,Industrial Machinery,\"Gothenburg, Sweden\",2001-01-02,14,1985
OAK,Oak Homes,Real Estate,Homebuilding,\"Bristol, England\",2001-01-02,15,1962
PNE,Pine Pharma,Health Care,Pharmaceuticals,\"Basel, Switzerland\",2001-01-02,16,1947
";

impl Company {
    fn words(&self) -> BTreeSet<String> {
        words(&format!("{} {} {} {}", self.name, self.symbol, self.sector, self.industry)).collect()
    }

    /// What is told for nothing.
    #[must_use]
    pub fn basic(&self, id: usize) -> Value {
        json!({"id": id, "name": self.name, "symbol": self.symbol, "sector": self.sector})
    }

    /// What is sold.
    #[must_use]
    pub fn detail(&self, id: usize) -> Value {
        // Figures that nobody should believe, the same every time.
        let figure = |n: usize| (id * 7_919 + n * 104_729) % 90_000 + 1_000;
        json!({"id": id, "name": self.name, "symbol": self.symbol, "sector": self.sector, "industry": self.industry,
            "headquarters": self.headquarters, "founded": self.founded, "revenue_millions": figure(1),
            "employees": figure(2), "profit_millions": figure(3) / 10})
    }
}

fn words(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() >= WORD_CHARS_MIN);
    words.map(str::to_lowercase).collect::<Vec<_>>().into_iter()
}

/// Ids of the companies that share words with the question, best first.
#[must_use]
pub fn find(companies: &[Company], question: &str) -> Vec<usize> {
    let asked: BTreeSet<String> = words(question).collect();
    let mut found: Vec<(usize, usize)> =
        companies.iter().enumerate().map(|(at, c)| (c.words().intersection(&asked).count(), at + 1)).collect();
    found.retain(|(shared, _)| *shared > 0);
    found.sort_by_key(|(shared, id)| (std::cmp::Reverse(*shared), *id));
    found.into_iter().take(FOUND_MAX).map(|(_, id)| id).collect()
}

/// Sixteen invented companies.
#[must_use]
pub fn built_in() -> Vec<Company> {
    read(BUILT_IN).unwrap_or_default()
}

/// Reads a list of companies with the columns `Symbol, Security, GICS Sector, GICS Sub-Industry, Headquarters Location,
/// Founded`; others are left alone.
///
/// # Errors
/// Which line, and what is wrong with it.
pub fn read(csv: &str) -> Result<Vec<Company>, String> {
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let headers = reader.headers().map_err(|e| e.to_string())?.clone();
    let column = |name: &str| {
        headers.iter().position(|header| header == name).ok_or_else(|| format!("line 1: there is no column {name:?}"))
    };
    let at = [
        column("Security")?,
        column("Symbol")?,
        column("GICS Sector")?,
        column("GICS Sub-Industry")?,
        column("Headquarters Location")?,
        column("Founded")?,
    ];
    let mut companies = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|e| e.to_string())?;
        let [name, symbol, sector, industry, headquarters, founded] =
            at.map(|n| record.get(n).unwrap_or_default().to_owned());
        if name.trim().is_empty() {
            let line = record.position().map_or(0, csv::Position::line);
            return Err(format!("line {line}: the company has no name"));
        }
        companies.push(Company { name, symbol, sector, industry, headquarters, founded });
    }
    if companies.is_empty() { Err("there is no company in it".into()) } else { Ok(companies) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn companies_are_found_by_their_words() {
        let all = built_in();
        assert_eq!(all.len(), 16);
        assert_eq!(find(&all, "Galaxy Chips: financial performance")[0], 7);
        assert_eq!(find(&all, "information technology"), [7, 9]);
        assert!(find(&all, "xyzzy of").is_empty());
    }

    #[test]
    fn a_bad_file_is_told_by_line() {
        assert!(read("Symbol,Name\nA,B\n").unwrap_err().contains("line 1"));
        let head = BUILT_IN.lines().next().unwrap();
        assert_eq!(
            read(&format!("{head}\nA,B,C,D,E,F,1,2\nA, ,C,D,E,F,1,2\n")).unwrap_err(),
            "line 3: the company has no name"
        );
        assert!(read(&format!("{head}\nA,B\n")).unwrap_err().contains("line: 2"));
    }
}
