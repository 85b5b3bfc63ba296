"""The least of spreadsheets, written by hand."""

import zipfile
from collections.abc import Sequence
from pathlib import Path


def sheet(path: Path, cells: list[list[tuple[str, str]]]) -> Path:
    """Write the least of an XLSX file: a cell is its type (n, d for a date, s for a text) and its value."""
    def cell(kind: str, value: str) -> str:
        if kind == "s":
            return f'<c t="inlineStr"><is><t>{value}</t></is></c>'
        style = ' s="1"' if kind == "d" else ""
        return f"<c{style}><v>{value}</v></c>" if value else "<c/>"

    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    links = f'<Relationships xmlns="{package}/relationships">%s</Relationships>'
    link = f'<Relationship Id="%s" Type="{office}/%s" Target="%s"/>'
    inside = link % ("r1", "worksheet", "worksheets/sheet1.xml") + link % ("r2", "styles", "styles.xml")
    body = "".join(f"<row>{''.join(cell(*one) for one in row)}</row>" for row in cells)
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"/>',
        "_rels/.rels": links % (link % ("r1", "officeDocument", "xl/workbook.xml")),
        "xl/workbook.xml": f'<workbook {main} xmlns:r="{office}"><sheets>'
        '<sheet name="Orders" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": links % inside,
        "xl/styles.xml": f'<styleSheet {main}><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs></styleSheet>',
        "xl/worksheets/sheet1.xml": f"<worksheet {main}><sheetData>{body}</sheetData></worksheet>",
    }
    with zipfile.ZipFile(path, "w") as packed:
        for name, text in parts.items():
            packed.writestr(name, text)
    return path


def table_document(path: Path, cells: Sequence[Sequence[str | float]]) -> Path:
    """Write the least of an ODS file."""

    def cell(value: str | float) -> str:
        if isinstance(value, str):
            return f'<table:table-cell office:value-type="string"><text:p>{value}</text:p></table:table-cell>'
        return f'<table:table-cell office:value-type="float" office:value="{value}"/>'

    names = "urn:oasis:names:tc:opendocument:xmlns"
    spaces = " ".join(f'xmlns:{name}="{names}:{name}:1.0"' for name in ("office", "table", "text"))
    body = "".join(f"<table:table-row>{''.join(map(cell, row))}</table:table-row>" for row in cells)
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        packed.writestr("META-INF/manifest.xml", f'<manifest:manifest xmlns:manifest="{names}:manifest:1.0"/>')
        packed.writestr(
            "content.xml",
            f"<office:document-content {spaces}><office:body><office:spreadsheet>"
            f'<table:table table:name="Orders">{body}</table:table>'
            "</office:spreadsheet></office:body></office:document-content>",
        )
    return path
